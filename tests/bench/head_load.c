/* HEAD over and over on kept-alive connections, without pipelining: what wrk cannot do, since it waits for the body
 * that Content-Length announces.
 *
 * usage: head_load PORT CONNECTIONS THREADS SECONDS < REQUEST
 *
 * REQUEST are the bytes of one whole request. Each connection to 127.0.0.1 sends it, reads one answer up to the empty
 * line, and sends it again. Prints one line: answers, answers that were not 200, connections that broke, seconds, and
 * the latencies in seconds that 50 and 99 of 100 answers did not exceed. A broken connection is not opened again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REQUEST = 16 * 1024, MAX_ANSWER = 16 * 1024 };

struct connection {
    int socket;
    int64_t sent_ns;
    size_t held;
    char answer[MAX_ANSWER + 1];
};

struct worker {
    pthread_t thread;
    int connections;
    uint32_t *latencies_ns;
    size_t answers, room, refused, broken;
};

static char request[MAX_REQUEST];
static size_t request_length;
static int port;
static int64_t end_ns;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int send_request(struct connection *connection)
{
    connection->held = 0;
    connection->sent_ns = now_ns();
    return send(connection->socket, request, request_length, MSG_NOSIGNAL) == (ssize_t)request_length;
}

static void note(struct worker *worker, int64_t latency_ns)
{
    if (worker->answers == worker->room) {
        worker->room = worker->room ? 2 * worker->room : 65536;
        worker->latencies_ns = realloc(worker->latencies_ns, worker->room * sizeof *worker->latencies_ns);
        if (!worker->latencies_ns)
            fail("realloc");
    }
    worker->latencies_ns[worker->answers++] = latency_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_ns;
}

/* Take what has arrived; 0 where the connection can be used no further. */
static int receive(struct worker *worker, struct connection *connection)
{
    ssize_t got = recv(connection->socket, connection->answer + connection->held, MAX_ANSWER - connection->held, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (got <= 0)
        return 0;
    connection->held += got;
    connection->answer[connection->held] = 0;
    char *end = strstr(connection->answer, "\r\n\r\n");
    if (!end)
        return connection->held < MAX_ANSWER;
    if (end + 4 != connection->answer + connection->held)
        return 0; /* a body, which an answer to HEAD must not have */
    note(worker, now_ns() - connection->sent_ns);
    if (strncmp(connection->answer, "HTTP/1.1 200 ", 13) != 0)
        worker->refused++;
    return send_request(connection);
}

static void connect_to_port(struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    if (connection->socket < 0 || connect(connection->socket, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct connection *connections = calloc(worker->connections, sizeof *connections);
    struct epoll_event events[64];
    int poll = epoll_create1(0), open = worker->connections;
    if (!connections || poll < 0)
        fail("start");
    for (int i = 0; i < worker->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connect_to_port(&connections[i]);
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
        if (!send_request(&connections[i]))
            fail("send");
    }
    while (open && now_ns() < end_ns) {
        int ready = epoll_wait(poll, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (receive(worker, connection))
                continue;
            worker->broken++;
            open--;
            close(connection->socket);
        }
    }
    return NULL;
}

static int ascending(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    port = atoi(arguments[1]);
    int connections = atoi(arguments[2]), threads = atoi(arguments[3]);
    request_length = fread(request, 1, sizeof request, stdin);
    struct worker workers[threads];
    memset(workers, 0, sizeof workers);
    int64_t start_ns = now_ns();
    end_ns = start_ns + (int64_t)(atof(arguments[4]) * 1e9);
    for (int i = 0; i < threads; i++) {
        workers[i].connections = connections / threads + (i < connections % threads);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            fail("pthread_create");
    }
    size_t answers = 0, refused = 0, broken = 0, at = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        answers += workers[i].answers, refused += workers[i].refused, broken += workers[i].broken;
    }
    double seconds = (now_ns() - start_ns) / 1e9;
    uint32_t *all = malloc((answers + 1) * sizeof *all);
    if (!all)
        fail("malloc");
    for (int i = 0; i < threads; at += workers[i++].answers)
        if (workers[i].answers)
            memcpy(all + at, workers[i].latencies_ns, workers[i].answers * sizeof *all);
    qsort(all, answers, sizeof *all, ascending);
    printf("%zu %zu %zu %.6f %.9f %.9f\n", answers, refused, broken, seconds,
           answers ? all[answers / 2] / 1e9 : 0, answers ? all[answers * 99 / 100] / 1e9 : 0);
    return 0;
}
