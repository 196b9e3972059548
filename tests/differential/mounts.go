package main

import "strings"

// mode is the end of a bind, such as "ro,z", as an engine documents it.
type mode struct {
	Valid       bool
	ReadOnly    bool
	Relabels    bool
	Propagation string
}

func readMode(text string) mode {
	read := mode{Valid: true, Propagation: "private"}
	if text == "" {
		return read
	}
	var access, label, propagation, copies, consistency int
	for _, word := range strings.Split(text, ",") {
		switch word {
		case "ro":
			access++
			read.ReadOnly = true
		case "rw":
			access++
		case "z", "Z":
			label++
			read.Relabels = true
		case "private", "rprivate", "slave", "rslave", "shared", "rshared":
			propagation++
			read.Propagation = strings.TrimPrefix(word, "r")
		case "nocopy":
			copies++
		case "consistent", "cached", "delegated":
			consistency++
		default:
			return mode{}
		}
	}
	for _, number := range []int{access, label, propagation, copies, consistency} {
		if number > 1 {
			return mode{}
		}
	}
	return read
}

// The flags of mount(2) that decide what a mount gives access to (sys/mount.h).
const (
	msReadOnly   = 0x1
	msRemount    = 0x20
	msBind       = 0x1000
	msRecursive  = 0x4000
	msUnbindable = 1 << 17
	msPrivate    = 1 << 18
	msSlave      = 1 << 19
	msShared     = 1 << 20
)

// Words that set flags. A propagation with an r before it is recursive.
var sets = map[string]int{
	"ro":          msReadOnly,
	"remount":     msRemount,
	"bind":        msBind,
	"rbind":       msBind | msRecursive,
	"unbindable":  msUnbindable,
	"runbindable": msUnbindable | msRecursive,
	"private":     msPrivate,
	"rprivate":    msPrivate | msRecursive,
	"slave":       msSlave,
	"rslave":      msSlave | msRecursive,
	"shared":      msShared,
	"rshared":     msShared | msRecursive,
}

// Words about access times, devices and so on, which no verdict depends on.
var others = words("suid nosuid dev nodev exec noexec sync async dirsync mand nomand atime noatime " +
	"diratime nodiratime relatime norelatime strictatime nostrictatime")

// Options of tmpfs that have a value.
var tmpfsNames = words("size mode uid gid nr_inodes nr_blocks mpol")

func words(text string) map[string]bool {
	all := map[string]bool{}
	for _, word := range strings.Fields(text) {
		all[word] = true
	}
	return all
}

// flags are the options of a mount in the notation of fstab.
type flags struct {
	ReadOnly, Bind, Recursive, Remount, Slave, Shared bool
	// Data is for the file system.
	Data [][]byte
}

func readFlags(text string) flags {
	bits, data := 0, [][]byte{}
	for _, word := range strings.Split(text, ",") {
		set, known := sets[word]
		switch {
		case known:
			bits |= set
		case word == "rw":
			bits &^= msReadOnly
		case word == "" || word == "defaults" || others[word]:
		default:
			data = append(data, []byte(word))
		}
	}
	has := func(bit int) bool { return bits&bit != 0 }
	return flags{
		ReadOnly:  has(msReadOnly),
		Bind:      has(msBind),
		Recursive: has(msRecursive),
		Remount:   has(msRemount),
		Slave:     has(msSlave),
		Shared:    has(msShared),
		Data:      data,
	}
}

// tmpfs is what an engine makes of the options of a tmpfs.
type tmpfs struct {
	Valid bool
	// Moves says that the mount is no tmpfs of its own, Shared that the host sees it.
	Moves, Shared bool
}

func readTmpfs(text string) tmpfs {
	read := readFlags(text)
	for _, word := range read.Data {
		name, _, found := strings.Cut(string(word), "=")
		if !found || !tmpfsNames[name] {
			return tmpfs{}
		}
	}
	return tmpfs{Valid: true, Moves: read.Bind || read.Remount, Shared: read.Shared}
}
