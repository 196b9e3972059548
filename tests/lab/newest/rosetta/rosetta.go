// Package rosetta answers for a module that the Go proxy does not serve: the docker CLI asks whether it runs on
// Apple's translator, which no Linux has.
package rosetta

// Enabled is false on Linux.
func Enabled() bool { return false }
