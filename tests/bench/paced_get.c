/* GET at fixed times, whatever the server does: how long clients wait who have nothing to do with what it is busy with.
 *
 * usage: paced_get PORT CLIENTS INTERVAL_MS SECONDS PATIENCE_SECONDS KEPT STATUS < REQUEST
 *
 * REQUEST is the text of one whole request. Each client sends it to 127.0.0.1 every INTERVAL_MS, the clients one after
 * the other, over one connection (KEPT is 1), or each time over a new one (KEPT is 0). A request is timed from when it
 * was due, not from when it could be sent: one that becomes due while its client still waits for an answer has begun
 * to wait as well. After SECONDS nothing becomes due any more, and what is due is waited for, PATIENCE_SECONDS at most.
 *
 * Prints "ready" when all clients are connected, and in the end one line: requests that were due, those answered with
 * another status than STATUS, connections that broke, requests without an answer, and in seconds: by how much this
 * program itself was late to send, then the times that 50, 99 and 100 of 100 requests did not exceed. What was not
 * answered counts with the time it has waited.
 */
#include "load.h"

#include <poll.h>
#include <sys/resource.h>

enum { MAX_CLIENTS = 64, PRIORITY = -10 };

struct client {
    int socket;
    int busy;          /* a request was begun and is not answered */
    int sent;          /* it has left; until then the connection is being made */
    int64_t due_ns;    /* when the request was due that is next, or under way */
    int64_t free_ns;   /* since when the next one could have been sent */
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

/* What was under way has ended, in whichever way; the next one is due an interval later. */
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

/* How long the answer is, headers and body; 0 while that is not known, -1 where it cannot be read. */
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

/* One look at everything; 0 when nothing is due or under way any more. */
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
    setpriority(PRIO_PROCESS, 0, PRIORITY); /* without the right to it, at the priority of everybody */
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
