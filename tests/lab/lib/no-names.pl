#!/usr/bin/perl
# A name server that knows no name. Arguments: the address to listen on (port 53); a file to create when it listens.
# Without a name server, the engine's own resolver does not answer its containers' queries for unknown names, and each
# waits 10 s for an error that a real network returns at once. (RFC 1035 §4.1.1 defines the header.)
use strict;
use warnings;
use Socket qw(:DEFAULT IPPROTO_IP);

use constant IP_FREEBIND => 15;    # The address exists only a moment later.

my ($address, $ready) = @ARGV;
socket(my $server, AF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
setsockopt($server, IPPROTO_IP, IP_FREEBIND, 1) or die "IP_FREEBIND: $!\n";
bind($server, pack_sockaddr_in(53, inet_aton($address))) or die "bind: $!\n";
open(my $file, '>', $ready) or die "$ready: $!\n";
close($file);

while (1) {
    my $client = recv($server, my $query, 4096, 0);
    next unless defined $client && length($query) > 16;
    my ($id, $flags, $questions) = unpack('n3', $query);
    my $end = index($query, "\0", 12) + 5;    # the root label, then type and class
    next if $questions != 1 || $end < 5 || $end > length($query) || $flags & 0x8000;
    # Response, recursion available, name error; opcode and RD unchanged.
    my $header = pack('n6', $id, 0x8083 | $flags & 0x7900, 1, 0, 0, 0);
    send($server, $header . substr($query, 12, $end - 12), 0, $client);
}
