/* Send GET requests at fixed times, whatever the server does, to measure how long uninvolved clients wait.
 *
 * usage: paced_get PORT CLIENTS INTERVAL_MS SECONDS PATIENCE_SECONDS KEPT STATUS < REQUEST
 *
 * REQUEST is the text of one whole request. Each client sends REQUEST to 127.0.0.1 every INTERVAL_MS, over one
 * connection (KEPT is 1) or each time over a new one (KEPT is 0). The clients are spread evenly over the interval.
 *
 * The latency of a request begins when the request is due, not when it is sent. So the wait of a request that becomes
 * due while its client still waits for a response is counted, too. After SECONDS no further request becomes due, and
 * the program waits at most PATIENCE_SECONDS for the remaining responses.
 *
 * Prints "ready" when all clients are connected. At the end, prints one line: requests, responses with another status
 * than STATUS, broken connections, requests without a response, and in seconds: the largest delay with which this
 * program itself sent a request, and the 50th and 99th percentile and the maximum of the latency. Requests without a
 * response count with the time that they have waited.
 */
#include "load.h"

#include <poll.h>
#include <sys/resource.h>

enum { MAX_CLIENTS = 64, PRIORITY = -10 };

struct client {
    int socket;
    int busy;          /* a request has begun and has no response yet */
    int sent;          /* the request is sent; before that, the connection is being opened */
    int64_t due_ns;    /* due time of the current or next request */
    int64_t free_ns;   /* end of the previous request, before which the next one cannot be sent */
    size_t held;
    char answer[MAX_ANSWER + 1];
};

static struct client clients[MAX_CLIENTS];
static int64_t *waited_ns;
static size_t due, wrong, broken, unanswered;
static int64_t late_ns;
static int kept, status;

static void leave(struct client *client)
{
    if (client->socket >= 0)
        close(client->socket);
    client->socket = -1;
}

/* Record the end of a request, successful or not. The next request is due one interval after this one was due. */
static void end_request(struct client *client, int64_t interval_ns)
{
    int64_t now = now_ns();
    waited_ns[due++] = now - client->due_ns;
    client->due_ns += interval_ns;
    client->free_ns = now;
    client->busy = client->sent = 0;
    client->held = 0;
    if (!kept)
        leave(client);
}

static void break_off(struct client *client, int64_t interval_ns)
{
    leave(client);
    if (client->busy) {
        broken++;
        end_request(client, interval_ns);
    }
}

static int send_request(struct client *client)
{
    int64_t late = now_ns() - (client->due_ns > client->free_ns ? client->due_ns : client->free_ns);
    if (kept && late > late_ns)
        late_ns = late;
    client->sent = 1;
    return send_whole_request(client->socket);
}

/* Length of the response with headers and body. 0 if the headers are incomplete, -1 if they are invalid or too long. */
static ssize_t answer_length(struct client *client)
{
    client->answer[client->held] = 0;
    char *end = strstr(client->answer, "\r\n\r\n");
    if (!end)
        return client->held < MAX_ANSWER ? 0 : -1;
    char *length = strcasestr(client->answer, "\r\ncontent-length:");
    if (!length || length > end)
        return -1;
    size_t whole = end + 4 - client->answer + strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    return whole > MAX_ANSWER ? -1 : (ssize_t)whole;
}

static void receive(struct client *client, int64_t interval_ns)
{
    ssize_t got = recv(client->socket, client->answer + client->held, MAX_ANSWER - client->held, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || !client->busy) {
        break_off(client, interval_ns);
        return;
    }
    client->held += got;
    ssize_t whole = answer_length(client);
    if (whole < 0) {
        break_off(client, interval_ns);
    } else if (whole && client->held >= (size_t)whole) {
        wrong += strncmp(client->answer, "HTTP/1.1 ", 9) != 0 || atoi(client->answer + 9) != status;
        end_request(client, interval_ns);
    }
}

static void begin_request(struct client *client, int64_t interval_ns)
{
    client->busy = 1;
    if (client->socket < 0) {
        client->socket = connect_to_port(SOCK_NONBLOCK);
        if (client->socket < 0)
            break_off(client, interval_ns);
    } else if (!send_request(client)) {
        break_off(client, interval_ns);
    }
}

/* Send due requests and receive responses once. Returns 0 when all requests have ended. */
static int step(int count, int64_t end_ns, int64_t last_ns, int64_t interval_ns)
{
    struct pollfd polled[MAX_CLIENTS];
    int64_t wake_ns = last_ns;
    int active = 0;
    for (int i = 0; i < count; i++) {
        struct client *client = &clients[i];
        if (!client->busy && client->due_ns < end_ns && client->due_ns <= now_ns())
            begin_request(client, interval_ns);
        active += client->busy || client->due_ns < end_ns;
        if (!client->busy && client->due_ns < end_ns && client->due_ns < wake_ns)
            wake_ns = client->due_ns;
        polled[i].fd = client->socket;
        polled[i].events = client->busy && !client->sent ? POLLOUT : POLLIN;
        polled[i].revents = 0;
    }
    int64_t wait_ns = wake_ns - now_ns();
    if (wait_ns < 0)
        wait_ns = 0;
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    if (active && ppoll(polled, count, &wait, NULL) < 0 && errno != EINTR)
        fail("ppoll");
    for (int i = 0; active && i < count; i++) {
        struct client *client = &clients[i];
        if (!polled[i].revents || client->socket != polled[i].fd)
            continue;
        if (!client->busy || client->sent)
            receive(client, interval_ns);
        else if (polled[i].revents & (POLLERR | POLLHUP) || !send_request(client))
            break_off(client, interval_ns);
    }
    return active;
}

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments)
{
    if (count != 8)
        return 2;
    port = atoi(arguments[1]);
    int wanted = atoi(arguments[2]);
    int64_t interval_ns = (int64_t)(atof(arguments[3]) * 1e6), length_ns = (int64_t)(atof(arguments[4]) * 1e9);
    int64_t patience_ns = (int64_t)(atof(arguments[5]) * 1e9);
    kept = atoi(arguments[6]), status = atoi(arguments[7]);
    request_length = fread(request, 1, sizeof request, stdin);
    if (wanted < 1 || wanted > MAX_CLIENTS || interval_ns < 1)
        return 2;
    setpriority(PRIO_PROCESS, 0, PRIORITY); /* fails without root, and then the program runs at normal priority */
    waited_ns = calloc(wanted * (length_ns / interval_ns + 2), sizeof *waited_ns);
    if (!waited_ns)
        fail("calloc");
    for (int i = 0; i < wanted; i++) {
        clients[i].socket = -1;
        if (kept && (clients[i].socket = connect_to_port(0)) < 0)
            fail("connect");
    }
    puts("ready");
    fflush(stdout);
    int64_t start_ns = now_ns(), end_ns = start_ns + length_ns, last_ns = end_ns + patience_ns;
    for (int i = 0; i < wanted; i++)
        clients[i].due_ns = start_ns + i * interval_ns / wanted;
    while (now_ns() < last_ns && step(wanted, end_ns, last_ns, interval_ns))
        ;
    for (int i = 0; i < wanted; i++)
        while (clients[i].due_ns < end_ns) {
            unanswered++;
            end_request(&clients[i], interval_ns);
        }
    qsort(waited_ns, due, sizeof *waited_ns, ascending);
    printf("%zu %zu %zu %zu %.9f %.9f %.9f %.9f\n", due, wrong, broken, unanswered, late_ns / 1e9,
           due ? waited_ns[due / 2] / 1e9 : 0, due ? waited_ns[due * 99 / 100] / 1e9 : 0,
           due ? waited_ns[due - 1] / 1e9 : 0);
    return 0;
}
