/* Load generator for HEAD requests on keep-alive connections, without pipelining. wrk cannot measure HEAD, since wrk
 * waits for the body that Content-Length announces.
 *
 * usage: head_load PORT CONNECTIONS THREADS SECONDS < REQUEST
 *
 * REQUEST is the text of one whole request. Each connection to 127.0.0.1 sends REQUEST, reads the response up to the
 * empty line, and repeats. A broken connection is not opened again.
 *
 * Prints one line: responses, responses with another status than 200, broken connections, duration in seconds, and the
 * 50th and 99th percentile of the latency in seconds.
 */
#include "load.h"

#include <pthread.h>
#include <sys/epoll.h>

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

static int64_t end_ns;

static int send_request(struct connection *connection)
{
    connection->held = 0;
    connection->sent_ns = now_ns();
    return send_whole_request(connection->socket);
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

/* Receive available data and send the next request after a complete response. Returns 0 if the connection broke. */
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
        return 0; /* a response to HEAD must not have a body */
    note(worker, now_ns() - connection->sent_ns);
    if (strncmp(connection->answer, "HTTP/1.1 200 ", 13) != 0)
        worker->refused++;
    return send_request(connection);
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
        connections[i].socket = connect_to_port(0);
        if (connections[i].socket < 0)
            fail("connect");
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
