/* Shared by the load generators: the request, the clock, and connections to 127.0.0.1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REQUEST = 16 * 1024, MAX_ANSWER = 16 * 1024 };

static char request[MAX_REQUEST];
static size_t request_length;
static int port;

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

/* Connect, or begin to connect with SOCK_NONBLOCK. Returns the socket, or -1 for an error. */
static int connect_to_port(int flags)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM | flags, 0), yes = 1;
    if (made < 0)
        return -1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(made, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
        return made;
    close(made);
    return -1;
}

static int send_whole_request(int socket)
{
    return send(socket, request, request_length, MSG_NOSIGNAL) == (ssize_t)request_length;
}
