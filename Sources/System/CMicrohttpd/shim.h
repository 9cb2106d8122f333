// libmicrohttpd, as far as a page needs it, without the variable arguments that Swift cannot pass.
//
// The daemon has no thread and no listening socket. The owner gives it accepted sockets, and runs it when its
// descriptor is readable. (With a listening socket, libmicrohttpd stops to watch that socket at its limit of
// connections, and has no event that would make it watch the socket again.)
#pragma once
#include <microhttpd.h>
#include <sys/socket.h>
#include <unistd.h>

// Called for every request: once when its headers are there, again for each piece of its body, and once at its end.
typedef int (*ttrl_http_handler)(
    void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *body,
    size_t body_bytes, void **request);

struct ttrl_http_server {
  struct MHD_Daemon *daemon;
  ttrl_http_handler handler;
  void (*completed)(void *context, struct MHD_Connection *connection, void *request);
  // The daemon begins to serve a socket, or is about to close it.
  void (*opened)(void *context, int socket);
  void (*closed)(void *context, int socket);
  void *context;
};

static inline int ttrl_http_socket(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? info->connect_fd : -1;
}

static inline enum MHD_Result ttrl_http_access(
    void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *body, size_t *body_bytes, void **request) {
  (void)version;
  struct ttrl_http_server *server = (struct ttrl_http_server *)cls;
  size_t bytes = *body_bytes;
  // All bytes are taken, or refused, at once.
  *body_bytes = 0;
  return server->handler(server->context, connection, url, method, body, bytes, request) ? MHD_YES : MHD_NO;
}

static inline void ttrl_http_completed(
    void *cls, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code) {
  (void)code;
  struct ttrl_http_server *server = (struct ttrl_http_server *)cls;
  server->completed(server->context, connection, *request);
  *request = NULL;
}

static inline void ttrl_http_connection(
    void *cls, struct MHD_Connection *connection, void **own, enum MHD_ConnectionNotificationCode code) {
  (void)own;
  struct ttrl_http_server *server = (struct ttrl_http_server *)cls;
  int socket = ttrl_http_socket(connection);
  if (code == MHD_CONNECTION_NOTIFY_STARTED) server->opened(server->context, socket);
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) server->closed(server->context, socket);
}

// Starts to serve. `connections` and `memory` (bytes for each) are limits; a connection without traffic is closed after
// `idle_seconds`. The address of `server` must not change until ttrl_http_stop. Returns whether it serves.
static inline int ttrl_http_start(
    struct ttrl_http_server *server, unsigned connections, unsigned idle_seconds, size_t memory) {
  server->daemon = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, ttrl_http_access, server,
      MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_NOTIFY_COMPLETED, ttrl_http_completed, server,
      MHD_OPTION_NOTIFY_CONNECTION, ttrl_http_connection, server, MHD_OPTION_END);
  return server->daemon != NULL;
}

// Gives a connected socket to the daemon, which closes it in any case. The next ttrl_http_run serves it.
static inline void ttrl_http_add(struct ttrl_http_server *server, int socket) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  // The client can be gone already.
  if (getpeername(socket, (struct sockaddr *)&peer, &length)) close(socket);
  else MHD_add_connection(server->daemon, socket, (struct sockaddr *)&peer, length);
}

static inline void ttrl_http_stop(struct ttrl_http_server *server) {
  if (server->daemon) MHD_stop_daemon(server->daemon);
  server->daemon = NULL;
}

// The descriptor that becomes readable when there is work.
static inline int ttrl_http_descriptor(struct ttrl_http_server *server) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  return info ? info->epoll_fd : -1;
}

// Does the work that is ready. Returns the milliseconds until the next timeout, or -1 if there is none.
static inline long long ttrl_http_run(struct ttrl_http_server *server) {
  MHD_run(server->daemon);
  MHD_UNSIGNED_LONG_LONG due = 0;
  return MHD_get_timeout(server->daemon, &due) == MHD_YES ? (long long)due : -1;
}

static inline int ttrl_http_respond(
    struct MHD_Connection *connection, unsigned status, const void *bytes, size_t count, const char *const *headers) {
  struct MHD_Response *response = MHD_create_response_from_buffer(count, (void *)bytes, MHD_RESPMEM_MUST_COPY);
  if (!response) return 0;
  for (; headers[0]; headers += 2) MHD_add_response_header(response, headers[0], headers[1]);
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result == MHD_YES;
}

static inline const char *ttrl_http_header(struct MHD_Connection *connection, const char *name) {
  return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static inline const char *ttrl_http_cookie(struct MHD_Connection *connection, const char *name) {
  return MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, name);
}

static inline const char *ttrl_http_query(struct MHD_Connection *connection, const char *name) {
  return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}
