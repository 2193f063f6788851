/* A name server that knows one address: dnsanswer ADDRESS PORT IPV4
 *
 * Every A question is answered with IPV4 for an hour, every other one with "no such record" and an SOA, EDNS by
 * EDNS.  With IPV4 "echo" each packet goes back as it came: what the kernel alone costs.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char SOA[] = {0xc0, 0x0c, 0, 6, 0, 1, 0, 0, 14, 16, 0, 22, 0, 0, 0, 0, 0, 1,
                                    0,    0,    14, 16, 0, 0, 14, 16, 0, 9, 58, 128, 0, 0, 14, 16};
static const unsigned char OPT[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};

/* The length of the answer in ``packet``, 0 for what is not answered. */
static int answer(unsigned char *packet, int size, const struct in_addr *address) {
    if (size < 17 || packet[2] & 0x80 || packet[4] || packet[5] != 1) return 0;
    int at = 12;
    while (at < size && packet[at]) {
        if (packet[at] > 63) return 0;
        at += packet[at] + 1;
    }
    at += 5;
    if (at > size) return 0;
    int is_a = packet[at - 4] == 0 && packet[at - 3] == 1, edns = packet[11];
    packet[2] = 0x84 | (packet[2] & 1);
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    packet[is_a ? 7 : 9] = 1;
    packet[11] = edns ? 1 : 0;
    if (is_a) {
        memcpy(packet + at, "\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4", 12);
        memcpy(packet + at + 12, address, 4);
        at += 16;
    } else {
        memcpy(packet + at, SOA, sizeof SOA);
        at += sizeof SOA;
    }
    if (edns) {
        memcpy(packet + at, OPT, sizeof OPT);
        at += sizeof OPT;
    }
    return at;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int echo = !strcmp(argv[3], "echo"), space = 1 << 22;
    struct in_addr address = {0};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (!inet_aton(argv[1], &own.sin_addr) || (!echo && !inet_aton(argv[3], &address))) return 2;
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
    if (bind(sock, (struct sockaddr *)&own, sizeof own)) {
        perror("bind");
        return 1;
    }
    unsigned char packet[4096];
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        int size = recvfrom(sock, packet, 2048, 0, (struct sockaddr *)&from, &length);
        if (size > 0 && !echo) size = answer(packet, size, &address);
        if (size > 0) sendto(sock, packet, size, 0, (struct sockaddr *)&from, length);
    }
}
