/* A cheap client of proxies: CONNECT, TLS 1.3, HTTP/1.1; one thread, epoll, bounded in time.
 *
 *   tlsload KEY=VALUE ...
 *     connect=ADDRESS:PORT   where to dial: the proxy, or what stands for it
 *     port=PORT              what CONNECT names, with name; 0: no CONNECT, TLS begins at once
 *     name=NAME              for SNI, the certificate and Host; a # in it counts connections, from start on, and
 *     names=1000000          begins again after so many
 *     ca=FILE                trusted; every certificate is verified, for its name too
 *     path=/1k               what to GET; empty: a connection is done once TLS is up
 *     upload=BYTES           PUT so much instead
 *     conns=16 seconds=1.5 start=0 sources=1
 *     keep=1                 many requests on one connection; 0: one each, and time counts from connect()
 *     idle=1                 open all connections, do nothing on them
 *
 * Speaks with its parent: "ready", then waits for a line, then loads, then one line of JSON.  With idle=1 it waits
 * for the end of its input after "ready".  keep=1 has made a request on each connection by then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum state { CONNECTING, ASKING, SHAKING, SENDING, READING, RESTING };

struct conn {
    enum state state;
    int fd, want;
    SSL *ssl;
    char name[256], head[8192];
    size_t filled, to_send, sent;
    long long body_left; /* -1: the head is not complete */
    double began;
};

static const char *opt_connect = "", *opt_name = "", *opt_ca = "", *opt_path = "/1k";
static long opt_conns = 16, opt_keep = 1, opt_idle = 0, opt_port = 0, opt_start = 0, opt_sources = 1,
            opt_names = 1000000;
static long long opt_upload = 0;
static double opt_seconds = 1.5;

static int poll_fd;
static SSL_CTX *context;
static struct sockaddr_in server;
static struct conn *conns;
static long made, ready, active, done, failed;
static long long bytes;
static int loading, stopping;
static float *taken; /* microseconds */
static long taken_size;
static char first_error[256];
static char block[65536];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void open_one(struct conn *c);

static void note(const char *what) {
    if (!first_error[0]) {
        snprintf(first_error, sizeof first_error, "%s: %s", what, ERR_reason_error_string(ERR_peek_error()));
    }
}

static void watch(struct conn *c, int want) {
    if (c->want == want) return;
    struct epoll_event event = {.events = want, .data.ptr = c};
    epoll_ctl(poll_fd, c->want ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->want = want;
}

static void end(struct conn *c) {
    if (c->ssl) {
        if (c->state > SHAKING) SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    if (c->fd >= 0) close(c->fd);
    c->ssl = NULL;
    c->fd = -1;
    c->want = 0;
}

static void fail(struct conn *c, const char *what) {
    note(what);
    ERR_clear_error();
    end(c);
    failed++;
    if (loading && !stopping && failed < 1000) {
        open_one(c);
    } else {
        active--;
    }
}

static void send_request(struct conn *c) {
    c->filled = 0;
    c->body_left = -1;
    c->sent = 0;
    if (opt_keep) c->began = now();
    int n = snprintf(c->head, sizeof c->head, "%s %s HTTP/1.1\r\nHost: %s:%ld\r\nUser-Agent: load\r\nAccept: */*\r\n",
                     opt_upload ? "PUT" : "GET", opt_path, c->name, opt_port ? opt_port : 443);
    if (opt_upload) n += snprintf(c->head + n, sizeof c->head - n, "Content-Length: %lld\r\n", opt_upload);
    n += snprintf(c->head + n, sizeof c->head - n, "\r\n");
    c->to_send = n + opt_upload;
    c->filled = n;
    c->state = SENDING;
}

/* One operation is over: the next one, or rest. */
static void finished(struct conn *c) {
    if (loading) {
        if (taken && done < taken_size) taken[done] = (now() - c->began) * 1e6;
        done++;
    }
    if (opt_keep) {
        if (!loading) {
            ready++;
            c->state = RESTING;
            watch(c, EPOLLRDHUP);
        } else if (stopping) {
            c->state = RESTING;
            active--;
            watch(c, EPOLLRDHUP);
        } else {
            send_request(c);
        }
        return;
    }
    end(c);
    if (stopping) {
        active--;
    } else {
        open_one(c);
    }
}

static int wanted(struct conn *c, int result) {
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: watch(c, EPOLLIN); return 0;
    case SSL_ERROR_WANT_WRITE: watch(c, EPOLLOUT); return 0;
    default: return -1;
    }
}

static int start_tls(struct conn *c) {
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, c->name);
    SSL_set1_host(c->ssl, c->name);
    SSL_set_connect_state(c->ssl);
    c->state = SHAKING;
    return 0;
}

/* The end of the head within the first ``filled`` bytes, or 0. */
static size_t head_end(struct conn *c) {
    char *found = memmem(c->head, c->filled, "\r\n\r\n", 4);
    return found ? (size_t)(found - c->head) + 4 : 0;
}

static int read_response(struct conn *c) {
    for (;;) {
        int n;
        if (c->body_left < 0) {
            n = SSL_read(c->ssl, c->head + c->filled, sizeof c->head - 1 - c->filled);
            if (n <= 0) return wanted(c, n);
            c->filled += n;
            c->head[c->filled] = 0;
            size_t end_at = head_end(c);
            if (!end_at) {
                if (c->filled == sizeof c->head - 1) return -1;
                continue;
            }
            char *length = strcasestr(c->head, "\r\nContent-Length:");
            if (c->head[9] != '2') return -1;
            if (!length && memcmp(c->head + 9, "204", 3)) return -1;
            c->body_left = (length ? atoll(length + 17) : 0) - (long long)(c->filled - end_at);
            bytes += c->filled - end_at;
        } else if (c->body_left > 0) {
            n = SSL_read(c->ssl, block, sizeof block);
            if (n <= 0) return wanted(c, n);
            c->body_left -= n;
            bytes += n;
        }
        if (c->body_left == 0) {
            finished(c);
            return 1;
        }
        if (c->body_left < -1) return -1;
    }
}

static int write_request(struct conn *c) {
    while (c->sent < c->to_send) {
        size_t head = c->filled;
        const char *from = c->sent < head ? c->head + c->sent : block;
        size_t left = c->sent < head ? head - c->sent : c->to_send - c->sent;
        int n = SSL_write(c->ssl, from, left > 16384 ? 16384 : left);
        if (n <= 0) return wanted(c, n);
        c->sent += n;
    }
    bytes += opt_upload;
    c->filled = 0;
    c->state = READING;
    return 1;
}

static int step(struct conn *c) {
    ssize_t n;
    int error = 0;
    socklen_t size = sizeof error;
    switch (c->state) {
    case CONNECTING:
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) return -1;
        if (!opt_port) return start_tls(c) + 1;
        char line[600];
        n = snprintf(line, sizeof line, "CONNECT %s:%ld HTTP/1.1\r\nHost: %s:%ld\r\n\r\n", c->name, opt_port,
                     c->name, opt_port);
        if (send(c->fd, line, n, MSG_NOSIGNAL) != n) return -1;
        c->filled = 0;
        c->state = ASKING;
        watch(c, EPOLLIN);
        return 0;
    case ASKING:
        n = recv(c->fd, c->head + c->filled, sizeof c->head - 1 - c->filled, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return -1;
        c->filled += n;
        c->head[c->filled] = 0;
        if (!head_end(c)) return 0;
        if (c->filled < 12 || c->head[9] != '2') return -1;
        return start_tls(c) + 1;
    case SHAKING:
        n = SSL_do_handshake(c->ssl);
        if (n != 1) return wanted(c, n);
        if (opt_idle) {
            ready++;
            c->state = RESTING;
            watch(c, EPOLLRDHUP);
            return 0;
        }
        if (!opt_path[0]) {
            c->state = READING;
            finished(c);
            return 0;
        }
        send_request(c);
        return 1;
    case SENDING: return write_request(c);
    case READING: return read_response(c);
    case RESTING: return -1; /* it was closed under us */
    }
    return -1;
}

static void turn(struct conn *c) {
    static const char *const names[] = {"connecting", "CONNECT", "handshake", "request", "response", "resting"};
    for (;;) {
        if (c->fd < 0) return;
        enum state was = c->state;
        int result = step(c);
        if (result < 0) fail(c, names[was]);
        if (result <= 0) return;
        if (c->fd >= 0 && c->state == RESTING) return;
    }
}

static void open_one(struct conn *c) {
    c->began = now();
    const char *hash = strchr(opt_name, '#');
    if (hash) {
        snprintf(c->name, sizeof c->name, "%.*s%ld%s", (int)(hash - opt_name), opt_name,
                 (opt_start + made) % opt_names, hash + 1);
    } else {
        snprintf(c->name, sizeof c->name, "%s", opt_name);
    }
    made++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (opt_sources > 1) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(0x7f000002 + made % opt_sources);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) note("bind");
    }
    c->state = CONNECTING;
    c->want = 0;
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        fail(c, "connect");
        return;
    }
    watch(c, EPOLLOUT);
}

static void poll_once(int wait_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poll_fd, events, 256, wait_ms);
    for (int i = 0; i < n; i++) turn(events[i].data.ptr);
}

static void die(const char *what) {
    printf("{\"error\": \"%s\", \"first\": \"%s\"}\n", what, first_error);
    exit(1);
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

static void options(int argc, char **argv) {
    struct { const char *key; const char **text; long *number; } known[] = {
        {"connect", &opt_connect, 0}, {"name", &opt_name, 0}, {"ca", &opt_ca, 0},
        {"path", &opt_path, 0}, {"conns", 0, &opt_conns}, {"keep", 0, &opt_keep}, {"idle", 0, &opt_idle},
        {"port", 0, &opt_port}, {"start", 0, &opt_start}, {"sources", 0, &opt_sources},
        {"names", 0, &opt_names},
    };
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) die("an option is KEY=VALUE");
        *value++ = 0;
        if (!strcmp(argv[i], "seconds")) opt_seconds = atof(value);
        else if (!strcmp(argv[i], "upload")) opt_upload = atoll(value);
        else {
            size_t k, count = sizeof known / sizeof *known;
            for (k = 0; k < count && strcmp(known[k].key, argv[i]); k++) {}
            if (k == count) die("unknown option");
            if (known[k].text) *known[k].text = value;
            else *known[k].number = atol(value);
        }
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    options(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    char address[64];
    snprintf(address, sizeof address, "%s", opt_connect);
    char *port = strchr(address, ':');
    if (!port) die("connect=ADDRESS:PORT");
    *port++ = 0;
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(port));
    if (!inet_aton(address, &server.sin_addr)) die("connect=ADDRESS:PORT");

    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(context, opt_ca) != 1) die("ca cannot be read");
    SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x08http/1.1", 9);

    poll_fd = epoll_create1(0);
    conns = calloc(opt_conns, sizeof *conns);
    taken_size = 4000000;
    taken = malloc(taken_size * sizeof *taken);
    int prepared = opt_keep || opt_idle;
    if (prepared) {
        double until = now() + 30 + opt_conns / 100.0;
        active = 0;
        for (long i = 0; i < opt_conns; i++) {
            if (failed) die("could not be prepared");
            open_one(&conns[i]);
            active++;
            while (active - ready > 64 && now() < until) poll_once(100);
        }
        while (ready < opt_conns && now() < until) {
            if (failed) die("could not be prepared");
            poll_once(100);
        }
        if (ready < opt_conns) die("preparing took too long");
    }
    puts("ready");
    char line[16];
    if (opt_idle) {
        while (fgets(line, sizeof line, stdin)) {}
        return 0;
    }
    if (!fgets(line, sizeof line, stdin)) return 0;

    bytes = failed = 0;
    active = opt_conns;
    loading = 1;
    double began = now(), until = began + opt_seconds;
    for (long i = 0; i < opt_conns; i++) {
        if (prepared) {
            send_request(&conns[i]);
            turn(&conns[i]);
        } else {
            open_one(&conns[i]);
        }
    }
    while (active > 0) {
        poll_once(50);
        double t = now();
        if (t > until) stopping = 1;
        if (t > until + 10) break;
    }
    double seconds = now() - began;
    long count = done < taken_size ? done : taken_size;
    qsort(taken, count, sizeof *taken, by_value);
    printf("{\"count\": %ld, \"failed\": %ld, \"unfinished\": %ld, \"bytes\": %lld, \"seconds\": %.6f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f, \"first_error\": \"%s\"}\n",
           done, failed, active, bytes, seconds, quantile(count, 0.5), quantile(count, 0.99), quantile(count, 1),
           first_error);
    return 0;
}
