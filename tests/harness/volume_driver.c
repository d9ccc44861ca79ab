/* A small volume driver for Docker managed plugins.
 *
 * Serves the driver's HTTP API on the unix socket given as the first argument. Keeps the list of volumes in memory and
 * creates their folders below /volumes. Reports the text of /version in the Status of every volume, so that
 * `docker volume inspect` shows the version of the plugin. Every call of another interface (NetworkDriver, IpamDriver
 * and so on) gets the same answer, with which engines take the plugin for a local driver of that interface.
 *
 * Each connection has its own thread and carries one request (Connection: close). Request bodies need a Content-Length,
 * which engines send, and may have up to 64 KiB. Volume names may contain the characters that engines allow,
 * [a-zA-Z0-9_.-]. Other names are refused.
 */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_VOLUMES = 256, MAX_NAME = 128, MAX_REQUEST = 64 * 1024, MAX_ANSWER = 128 * 1024 };

static const char OTHER_INTERFACES[] = "{\"Scope\":\"local\",\"PoolID\":\"p\",\"Pool\":\"10.9.0.0/16\",\"Address\":\"10.9.0.2/16\","
                                       "\"Allow\":true}";
static char volumes[MAX_VOLUMES][MAX_NAME];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char version[64] = "unknown";

static void leave(int signal_number)
{
    (void)signal_number;
    _exit(0); /* without a handler, the first process of a pid namespace ignores SIGTERM */
}

static void read_version(void)
{
    FILE *file = fopen("/version", "r");
    if (!file)
        return;
    if (fgets(version, sizeof version, file))
        version[strcspn(version, "\"\\\r\n")] = 0;
    fclose(file);
}

static int find(const char *name)
{
    for (int i = 0; i < MAX_VOLUMES; i++)
        if (volumes[i][0] && strcmp(volumes[i], name) == 0)
            return i;
    return -1;
}

/* Copies the string value of "Name" out of a JSON body. Returns 0 if there is no valid volume name. */
static int name_of(const char *body, char *name)
{
    const char *at = strstr(body, "\"Name\"");
    size_t length = 0;
    if (!at)
        return 0;
    for (at += 6; isspace((unsigned char)*at) || *at == ':'; at++)
        ;
    if (*at++ != '"' || !isalnum((unsigned char)*at))
        return 0;
    while (isalnum((unsigned char)*at) || (*at && strchr("_.-", *at))) {
        if (length + 1 >= MAX_NAME)
            return 0;
        name[length++] = *at++;
    }
    name[length] = 0;
    return *at == '"';
}

static int describe(char *out, size_t size, const char *name)
{
    return snprintf(out, size,
                    "{\"Name\":\"%s\",\"Mountpoint\":\"/volumes/%s\",\"Status\":{\"version\":\"%s\"}}", name, name,
                    version);
}

static void list(char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "{\"Volumes\":[");
    const char *comma = "";
    for (int i = 0; i < MAX_VOLUMES; i++) {
        if (!volumes[i][0])
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s", comma);
        used += (size_t)describe(out + used, size - used, volumes[i]);
        comma = ",";
    }
    snprintf(out + used, size - used, "],\"Err\":\"\"}");
}

/* Writes the response to one call. Returns its HTTP status. */
static int answer(const char *call, const char *body, char *out, size_t size)
{
    char name[MAX_NAME];
    int at;

    if (strcmp(call, "/Plugin.Activate") == 0) {
        snprintf(out, size, "{\"Implements\":[\"VolumeDriver\"]}");
        return 200;
    }
    if (strcmp(call, "/VolumeDriver.Capabilities") == 0) {
        snprintf(out, size, "{\"Capabilities\":{\"Scope\":\"local\"}}");
        return 200;
    }
    if (strcmp(call, "/VolumeDriver.List") == 0) {
        list(out, size);
        return 200;
    }
    if (strncmp(call, "/NetworkDriver.", 15) == 0) { /* networks that connect nothing, for tests of names */
        snprintf(out, size, "{\"Scope\":\"local\"}");
        return 200;
    }
    if (strncmp(call, "/VolumeDriver.", 14) != 0) {
        snprintf(out, size, "%s", OTHER_INTERFACES);
        return 200;
    }
    call += 14;
    if (!name_of(body, name)) {
        snprintf(out, size, "{\"Err\":\"no volume name that can be used\"}");
        return 500;
    }
    at = find(name);
    if (strcmp(call, "Create") == 0) {
        for (int i = 0; at < 0 && i < MAX_VOLUMES; i++)
            if (!volumes[i][0])
                strcpy(volumes[at = i], name);
        snprintf(out, size, "{\"Err\":\"%s\"}", at < 0 ? "no room for another volume" : "");
        return at < 0 ? 500 : 200;
    }
    if (at < 0) {
        snprintf(out, size, "{\"Err\":\"no such volume\"}");
        return 500;
    }
    if (strcmp(call, "Get") == 0) {
        int used = snprintf(out, size, "{\"Volume\":");
        used += describe(out + used, size - (size_t)used, name);
        snprintf(out + used, size - (size_t)used, ",\"Err\":\"\"}");
        return 200;
    }
    if (strcmp(call, "Mount") == 0 || strcmp(call, "Path") == 0) {
        char path[MAX_NAME + 16];
        snprintf(path, sizeof path, "/volumes/%s", name);
        if (*call == 'M' && (mkdir("/volumes", 0755), mkdir(path, 0755)) != 0 && errno != EEXIST) {
            snprintf(out, size, "{\"Err\":\"the folder of the volume cannot be made\"}");
            return 500;
        }
        snprintf(out, size, "{\"Mountpoint\":\"%s\",\"Err\":\"\"}", path);
        return 200;
    }
    if (strcmp(call, "Remove") == 0)
        volumes[at][0] = 0;
    else if (strcmp(call, "Unmount") != 0) {
        snprintf(out, size, "{\"Err\":\"no such call\"}");
        return 404;
    }
    snprintf(out, size, "{\"Err\":\"\"}");
    return 200;
}

/* Value of Content-Length in a header that ends at `end`. 0 if it is absent, -1 if the body cannot be read. */
static long body_length(const char *header, const char *end)
{
    for (const char *line = header; line && line < end; line = strstr(line, "\r\n")) {
        line += line == header ? 0 : 2;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            long value = strtol(line + 15, NULL, 10);
            return value >= 0 && value < MAX_REQUEST ? value : -1;
        }
        if (strncasecmp(line, "transfer-encoding:", 18) == 0)
            return -1;
    }
    return 0;
}

/* Reads one whole request. Returns its body, or NULL if the peer closed the connection or sent an invalid request. */
static char *read_request(int connection, char *request)
{
    size_t used = 0;
    for (;;) {
        ssize_t got = read(connection, request + used, MAX_REQUEST - used);
        char *end;
        long length;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return NULL;
        used += (size_t)got;
        request[used] = 0;
        end = strstr(request, "\r\n\r\n");
        if (end) {
            length = body_length(request, end);
            if (length < 0)
                return NULL;
            if (used >= (size_t)(end + 4 - request) + (size_t)length)
                return end + 4;
        }
        if (used >= MAX_REQUEST)
            return NULL;
    }
}

static void write_all(int connection, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = write(connection, data, size);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

static void *serve(void *argument)
{
    int connection = (int)(long)argument;
    char *request = malloc(MAX_REQUEST + 1), *out = malloc(MAX_ANSWER), *body;
    char call[128], header[256];
    if (request && out && (body = read_request(connection, request)) && sscanf(request, "POST %127s ", call) == 1) {
        int status;
        pthread_mutex_lock(&lock);
        status = answer(call, body, out, MAX_ANSWER);
        pthread_mutex_unlock(&lock);
        snprintf(header, sizeof header,
                 "HTTP/1.1 %d %s\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                 status, status == 200 ? "OK" : "Error", strlen(out));
        write_all(connection, header, strlen(header));
        write_all(connection, out, strlen(out));
    }
    free(request);
    free(out);
    close(connection);
    return NULL;
}

int main(int count, char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    int listener;

    if (count != 2 || strlen(arguments[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: volume-driver SOCKET\n");
        return 2;
    }
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    signal(SIGPIPE, SIG_IGN);
    read_version();
    strcpy(address.sun_path, arguments[1]);
    unlink(address.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0) {
        perror(arguments[1]);
        return 1;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        pthread_t thread;
        if (connection < 0)
            continue;
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (pthread_create(&thread, NULL, serve, (void *)(long)connection) != 0)
            close(connection);
        else
            pthread_detach(thread);
    }
}
