/* A cheap client of name servers over UDP: dnsload KEY=VALUE ...
 *
 *     connect=ADDRESS:PORT
 *     queries=FILE     packets, each behind its length in two bytes; asked in turn from number start on, round and round
 *     unique=1         the first eight bytes of each first label become that number, in hexadecimal
 *     window=64        in flight; sockets=16; seconds=1.5
 *     rate=0           a second, in all; 0: as fast as answers come
 *     once=1           every query so often, one after the other, each until it was answered: fills caches
 *
 * A query that is not answered within a second is lost.  Speaks with its parent: "ready", a line, one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IDS 65536
static double sent_at[IDS]; /* by id; 0: not in flight.  An id belongs to one socket: id % sockets */
static unsigned char *file;
static const unsigned char **packets;
static long packet_count, in_flight, asked, answered, lost, wrong;
static float *taken;
static const long taken_size = 4000000;
static int fds[256];
static long sockets = 16, window = 64, unique, start, once;
static unsigned next_id;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void load_packets(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info)) exit(2);
    file = malloc(info.st_size);
    long got = 0, n;
    while ((n = read(fd, file + got, info.st_size - got)) > 0) got += n;
    for (long at = 0; at + 2 <= got; at += 2 + (file[at] << 8 | file[at + 1])) packet_count++;
    packets = malloc(packet_count * sizeof *packets);
    long i = 0;
    for (long at = 0; at + 2 <= got; at += 2 + (file[at] << 8 | file[at + 1])) packets[i++] = file + at;
}

/* Ask packet ``which`` under a free id. */
static void ask(long which, double at) {
    unsigned char out[2048];
    const unsigned char *packet = packets[which % packet_count];
    int size = packet[0] << 8 | packet[1];
    while (sent_at[next_id]) next_id = (next_id + 1) % IDS;
    unsigned id = next_id;
    next_id = (next_id + 1) % IDS;
    memcpy(out, packet + 2, size);
    out[0] = id >> 8;
    out[1] = id & 255;
    if (unique) {
        char text[9];
        snprintf(text, sizeof text, "%08lx", which & 0xffffffffL);
        memcpy(out + 13, text, 8);
    }
    sent_at[id] = at;
    in_flight++;
    asked++;
    if (send(fds[id % sockets], out, size, 0) < 0) { /* refused: counted as lost when its time is over */ }
}

static void take(double at) {
    unsigned char in[4096];
    for (long s = 0; s < sockets; s++) {
        int size;
        while ((size = recv(fds[s], in, sizeof in, MSG_DONTWAIT)) >= 12) {
            unsigned id = in[0] << 8 | in[1];
            if (!sent_at[id] || (long)(id % sockets) != s) {
                wrong++;
                continue;
            }
            if (answered < taken_size) taken[answered] = (at - sent_at[id]) * 1e6;
            answered++;
            in_flight--;
            sent_at[id] = 0;
        }
    }
}

static void expire(double at) {
    for (unsigned id = 0; id < IDS; id++) {
        if (sent_at[id] && at - sent_at[id] > 1) {
            sent_at[id] = 0;
            in_flight--;
            lost++;
        }
    }
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(long count, double share) {
    if (!count) return 0;
    long at = count * share;
    return taken[at >= count ? count - 1 : at];
}

/* Each query until it is answered: one at a time, so that nothing is dropped on the way. */
static void fill(void) {
    for (long i = 0; i < packet_count * once; i++) {
        long before = answered;
        for (int attempt = 0; attempt < 50 && answered == before; attempt++) {
            double at = now();
            ask(i, at);
            struct pollfd wait = {.fd = fds[(next_id + IDS - 1) % IDS % sockets], .events = POLLIN};
            poll(&wait, 1, 200);
            take(now());
        }
        if (answered == before) lost++;
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in server = {.sin_family = AF_INET};
    double seconds = 1.5, rate = 0;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) return 2;
        *value++ = 0;
        if (!strcmp(argv[i], "connect")) {
            char *port = strchr(value, ':');
            if (!port) return 2;
            *port++ = 0;
            server.sin_port = htons(atoi(port));
            inet_aton(value, &server.sin_addr);
        } else if (!strcmp(argv[i], "queries")) load_packets(value);
        else if (!strcmp(argv[i], "unique")) unique = atol(value);
        else if (!strcmp(argv[i], "start")) start = atol(value);
        else if (!strcmp(argv[i], "window")) window = atol(value);
        else if (!strcmp(argv[i], "sockets")) sockets = atol(value);
        else if (!strcmp(argv[i], "seconds")) seconds = atof(value);
        else if (!strcmp(argv[i], "rate")) rate = atof(value);
        else if (!strcmp(argv[i], "once")) once = atol(value);
        else return 2;
    }
    if (!packet_count || sockets > 256) return 2;
    taken = malloc(taken_size * sizeof *taken);
    struct pollfd waits[256];
    int space = 1 << 22;
    for (long s = 0; s < sockets; s++) {
        fds[s] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(fds[s], SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
        if (connect(fds[s], (struct sockaddr *)&server, sizeof server)) return 1;
        waits[s] = (struct pollfd){.fd = fds[s], .events = POLLIN};
    }
    char line[16];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;

    double began = now(), until = began + seconds, expired = began;
    if (once) {
        fill();
    } else {
        for (double at = began; at < until || (in_flight && at < until + 1.5); at = now()) {
            if (at < until && !rate) {
                while (in_flight < window) ask(start + asked, at);
            } else if (at < until) {
                while (asked < (at - began) * rate && in_flight < IDS - 1) ask(start + asked, now());
            }
            struct timespec wait = {.tv_nsec = rate ? 100000 : 20000000};
            ppoll(waits, sockets, &wait, NULL);
            at = now();
            take(at);
            if (at - expired > 0.25) {
                expire(at);
                expired = at;
            }
        }
    }
    double took = now() - began;
    lost += in_flight;
    long count = answered < taken_size ? answered : taken_size;
    qsort(taken, count, sizeof *taken, by_value);
    printf("{\"count\": %ld, \"failed\": %ld, \"wrong\": %ld, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           answered, lost, wrong, took, quantile(count, 0.5), quantile(count, 0.99), quantile(count, 1));
    return 0;
}
