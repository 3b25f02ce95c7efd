/* What fork_server.c and start_rank.c tell each other: the client sends a uint32 of the request's size
 * together with its standard streams, then the request, strings that end with a zero byte: the folder to
 * start in, the number of variables, these, and the arguments without the program's name. The server sends
 * the int32 process id of the rank, and at its end the int32 status of waitpid. */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STREAMS = 3 };

/* A socket after `join` (bind or connect) to the path, or -1. */
static inline int socket_at(const char* path, int (*join)(int, const struct sockaddr*, socklen_t)) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return made < 0 || join(made, (const struct sockaddr*)&address, sizeof address) != 0 ? -1 : made;
}

union streams_space {
  char bytes[CMSG_SPACE(STREAMS * sizeof(int))];
  struct cmsghdr aligned;
};

static inline int send_streams(int to, uint32_t size) {
  const int streams[STREAMS] = {0, 1, 2};
  union streams_space space;
  memset(&space, 0, sizeof space);
  struct iovec part = {.iov_base = &size, .iov_len = sizeof size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof space.bytes};
  struct cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof streams);
  memcpy(CMSG_DATA(head), streams, sizeof streams);
  return sendmsg(to, &message, 0) == sizeof size;
}

static inline int receive_streams(int from, uint32_t* size, int* streams) {
  union streams_space space;
  struct iovec part = {.iov_base = size, .iov_len = sizeof *size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof space.bytes};
  if (recvmsg(from, &message, MSG_WAITALL) != sizeof *size) return 0;
  const struct cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head == NULL || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(STREAMS * sizeof(int)))
    return 0;
  memcpy(streams, CMSG_DATA(head), STREAMS * sizeof(int));
  return 1;
}
