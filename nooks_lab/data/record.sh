#!/usr/bin/env bash
# Records arp-icmp-tcp.pcap: two network namespaces joined by a veth pair, tcpdump on A's side.
# Needs Linux, root, and Debian's iproute2, procps, ethtool, iputils-ping, tcpdump, python3. See README.md.
set -euo pipefail
out=$(realpath "${1:-arp-icmp-tcp.pcap}")
a=nooks-lab-a
b=nooks-lab-b

tidy_up() {
    kill $(jobs -p) 2>/dev/null || true
    ip netns delete "$a"
    ip netns delete "$b"
}
ip netns add "$a"
ip netns add "$b"
trap tidy_up EXIT

ip link add eth0 netns "$a" address 02:00:00:00:00:0a type veth peer name eth0 netns "$b" address 00:0e:0c:33:44:55
for side in "$a 10.0.0.1" "$b 10.0.0.2"; do
    read -r namespace address <<<"$side"
    # IPv6 would add its own neighbour discovery; offloads would leave checksums blank and frames over the MTU.
    ip netns exec "$namespace" sysctl -q net.ipv6.conf.all.disable_ipv6=1
    ip netns exec "$namespace" ethtool -K eth0 rx off tx off sg off tso off gso off gro off >/dev/null
    ip -n "$namespace" address add "$address/24" dev eth0
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set eth0 up
done

ip netns exec "$a" tcpdump -Z root -i eth0 -s 65535 -U -w "$out" &
sniffer=$!
sleep 1

ip netns exec "$a" ping -q -i 0.05 -c 5 -s 56 10.0.0.2
ip netns exec "$a" ping -q -i 0.05 -c 5 -s 1400 10.0.0.2

# B learned A's address from A's question; forgotten, B has to ask for itself.
ip -n "$b" neighbour flush dev eth0

ip netns exec "$b" python3 - <<'PYTHON' &
# B: an HTTP server that answers with the SHA-256 of the body and its first quarter.
import hashlib
import socket

with socket.create_server(("10.0.0.2", 80)) as listener:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            headers = {}
            while (line := stream.readline().strip()):
                name, value = line.split(b": ")
                headers[name] = value
            body = stream.read(int(headers[b"Content-Length"]))
            digest = hashlib.sha256(body).hexdigest().encode()
            reply = digest + b"\n" + body[: len(body) // 4]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
PYTHON
server=$!
sleep 1

ip netns exec "$a" python3 - <<'PYTHON'
# A: POSTs of growing length on one connection; the last two fill several segments each.
import hashlib
import socket

sizes = [50 * step for step in range(1, 41)] + [6000, 12000]
with socket.create_connection(("10.0.0.2", 80)) as connection, connection.makefile("rb") as stream:
    for number, size in enumerate(sizes, 1):
        line = b"request %02d of %02d, all of it must arrive as it was sent\n" % (number, len(sizes))
        body = (line * (size // len(line) + 1))[:size]
        head = b"POST /digest HTTP/1.1\r\nHost: 10.0.0.2\r\nContent-Length: %d\r\n\r\n" % size
        connection.sendall(head + body)
        stream.readline()
        length = int(stream.readline().split(b": ")[1])
        stream.readline()
        digest = stream.read(length).split(b"\n")[0]
        assert digest == hashlib.sha256(body).hexdigest().encode(), f"request {number} arrived damaged"
PYTHON
wait "$server"
sleep 1
kill -INT "$sniffer"
wait "$sniffer"
