/*
 * floor LOG TRANSPORT ADDRESS PROGRAM [ARG...] - the least that an executed request can cost: the second floor of
 * `make bench`.
 *
 * Reads the mail and uses nothing of it; appends to LOG and fsyncs; runs PROGRAM (mailsudo's sudo command line without
 * `mailsudo begin`) and keeps its output; appends and fsyncs again; sends a reply to ADDRESS by TRANSPORT: `-` prints it,
 * `smtp:PORT` speaks SMTP to 127.0.0.1, anything else is the path of a sendmail(1). It checks nothing and logs nothing:
 * every sender may run everything. Exit status 0, or 75 if a step fails.
 *
 * With `postgresql:SOCKET` as LOG it keeps its two records in PostgreSQL instead, as little as that can be: it connects to
 * that socket, inserts one row, and changes it after the run. Each is one statement that commits. It makes sure of nothing
 * that the server says beyond that it was done.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char output[1 << 16], reply[1 << 17];
/* When the process was started: it tells its row from that of another process with the same id. */
static long long monotonic;

static void need(int fine) {
    if (!fine) _exit(75);
}

static void put(int to, const char *text) {
    size_t length = strlen(text);
    need(write(to, text, length) == (ssize_t)length);
}

static void record(const char *log, const char *line) {
    int file = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    need(file >= 0);
    put(file, line);
    need(fsync(file) == 0);
    close(file);
}

/* Sends a message of PostgreSQL's protocol (PostgreSQL manual, "Message Formats"), and reads up to ReadyForQuery. */
static void exchange(int server, char type, const char *body, size_t length) {
    char message[512], got[1 << 14];
    size_t at = 0, have = 0, used = 0;
    uint32_t size = htonl(length + 4);
    need(length < sizeof message - 5);
    if (type != '\0') message[at++] = type;
    memcpy(message + at, &size, 4);
    memcpy(message + at + 4, body, length);
    need(write(server, message, at + 4 + length) == (ssize_t)(at + 4 + length));
    for (;;) {
        while (have - used >= 5) {
            memcpy(&size, got + used + 1, 4);
            size = ntohl(size) + 1;
            if (have - used < size) break;
            need(got[used] != 'E');
            if (got[used] == 'Z') return;
            used += size;
        }
        need(have < sizeof got);
        ssize_t more = read(server, got + have, sizeof got - have);
        need(more > 0);
        have += more;
    }
}

static int log_in(const char *path) {
    static const char startup[] = "\0\3\0\0user\0mailsudo\0database\0mailsudo\0";
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(place.sun_path, sizeof place.sun_path, "%s", path);
    need(connect(server, (struct sockaddr *)&place, sizeof place) == 0);
    exchange(server, '\0', startup, sizeof startup);
    return server;
}

static void statement(int server, const char *form) {
    char text[256];
    /* No other process of this host has this name while the row is written. */
    snprintf(text, sizeof text, form, (long)getpid(), monotonic);
    exchange(server, 'Q', text, strlen(text) + 1);
}

/* Starts PROGRAM with one end of a pipe as its standard input or output, and returns the other end. */
static int start(char **argv, int child_end, pid_t *child) {
    static char *environment[] = {"LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    need(pipe2(ends, O_CLOEXEC) == 0);
    int theirs = ends[child_end], ours = ends[!child_end];
    posix_spawn_file_actions_init(&actions);
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (descriptor == child_end || (child_end == 1 && descriptor == 2))
            posix_spawn_file_actions_adddup2(&actions, theirs, descriptor);
        else
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
    }
    need(posix_spawn(child, argv[0], &actions, NULL, argv, environment) == 0);
    close(theirs);
    return ours;
}

static int ended_well(pid_t child) {
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Reads so many replies, each up to its last line, which has no hyphen after the code (RFC 5321 section 4.2). */
static void expect(int server, int replies, const char *code) {
    char text[4096], *line = text, *end;
    const char *last = text;
    size_t length = 0;
    do {
        ssize_t got = read(server, text + length, sizeof text - 1 - length);
        need(got > 0);
        length += got;
        text[length] = '\0';
        for (; (end = strchr(line, '\n')); line = end + 1) {
            last = line;
            if (line[3] != '-') replies--;
        }
    } while (replies > 0);
    need(strncmp(last, code, 3) == 0);
}

static void command(int server, const char *line, const char *code) {
    put(server, line);
    expect(server, 1, code);
}

static void by_smtp(int port, const char *address) {
    struct sockaddr_in local = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    char envelope[400];
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    need(connect(server, (struct sockaddr *)&local, sizeof local) == 0);
    /* As mailsudo does: without Nagle's algorithm, the envelope in one write (RFC 2920), the message and the last dot in one, no
     * wait for the reply to QUIT. */
    need(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    snprintf(envelope, sizeof envelope, "MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n", address);
    expect(server, 1, "220");
    command(server, "EHLO localhost\r\n", "250");
    put(server, envelope);
    expect(server, 3, "354");
    strcat(reply, "\r\n.\r\n");
    command(server, reply, "250");
    put(server, "QUIT\r\n");
}

int main(int argc, char **argv) {
    need(argc > 4);
    char *log = argv[1], *transport = argv[2], *address = argv[3];
    pid_t child;

    while (read(STDIN_FILENO, reply, sizeof reply) > 0) {}
    need(chdir("/") == 0);
    int server = strncmp(log, "postgresql:", 11) == 0 ? log_in(log + 11) : -1;
    if (server < 0) {
        record(log, "started\n");
    } else {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        monotonic = now.tv_sec * 1000000000LL + now.tv_nsec;
        statement(server, "INSERT INTO floor VALUES ('%ld %lld', 'started')");
    }

    int from = start(argv + 4, 1, &child);
    ssize_t got;
    size_t kept = 0;
    while ((got = read(from, output + kept, sizeof output - 1 - kept)) > 0) kept += got;
    need(ended_well(child));
    if (server < 0) {
        record(log, "finished\n");
    } else {
        statement(server, "UPDATE floor SET said = 'finished' WHERE name = '%ld %lld'");
        need(write(server, "X\0\0\0\4", 5) == 5);
    }

    /* Room for the end of the message by SMTP. */
    snprintf(reply, sizeof reply - 8, "From: <ops@example.com>\nTo: <%s>\nSubject: done\n\nDone.\n%s", address, output);
    if (strcmp(transport, "-") == 0) {
        put(STDOUT_FILENO, reply);
    } else if (strncmp(transport, "smtp:", 5) == 0) {
        by_smtp(atoi(transport + 5), address);
    } else {
        char *sendmail[] = {transport, "-i", "-f", "<>", "--", address, NULL};
        int to = start(sendmail, 0, &child);
        put(to, reply);
        close(to);
        need(ended_well(child));
    }
    return 0;
}
