/* The bare ceiling of what nghttp2 can answer on one core: epoll, one thread, and a gRPC response submitted inside the
 * callback that sees a request's end, with the request's bytes as they came: no decoding, no routing, no task.
 * Serves bodies of at most 256 bytes. Prints its port and serves until it is killed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MAX_BODY = 256, READ_BYTES = 64 * 1024, WRITE_BYTES = 256 * 1024 };

typedef struct {
  size_t length, sent;
  uint8_t body[MAX_BODY];
} call;

typedef struct {
  int fd;
  nghttp2_session *session;
  /* What the socket has not taken yet. */
  uint8_t *output;
  size_t filled, written;
  int waits_for_room;
} connection;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

#define FIELD(name, value) \
  { (uint8_t *)name, (uint8_t *)value, sizeof name - 1, sizeof value - 1, \
    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE }
static const nghttp2_nv head[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
static const nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *target, size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data) {
  call *c = source->ptr;
  size_t count = c->length - c->sent < length ? c->length - c->sent : length;
  memcpy(target, c->body + c->sent, count);
  c->sent += count;
  if (c->sent == c->length) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(session, stream, trailers, 1);
  }
  return (ssize_t)count;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
  call *c = malloc(sizeof *c);
  if (!c) return NGHTTP2_ERR_CALLBACK_FAILURE;
  c->length = c->sent = 0;
  return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, c);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length,
                   void *user_data) {
  call *c = nghttp2_session_get_stream_user_data(session, stream);
  if (!c || c->length + length > MAX_BODY) return NGHTTP2_ERR_CALLBACK_FAILURE;
  memcpy(c->body + c->length, data, length);
  c->length += length;
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
  int ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (!ends || (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)) return 0;
  call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  nghttp2_data_provider provider = {{.ptr = c}, read_body};
  return nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &provider);
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user_data) {
  free(nghttp2_session_get_stream_user_data(session, stream));
  return 0;
}

/* Everything there is to say, in as few writes as the socket takes. Nonzero when the connection is over. */
static int flush(connection *c, int poll) {
  for (;;) {
    while (c->filled < WRITE_BYTES - READ_BYTES) {
      const uint8_t *data;
      ssize_t count = nghttp2_session_mem_send(c->session, &data);
      if (count < 0) return 1;
      if (count == 0) break;
      memcpy(c->output + c->filled, data, (size_t)count);
      c->filled += (size_t)count;
    }
    if (c->filled == c->written) break;
    ssize_t count = send(c->fd, c->output + c->written, c->filled - c->written, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN) return 1;
      break;
    }
    c->written += (size_t)count;
    if (c->written == c->filled) c->written = c->filled = 0;
  }
  int waits = c->filled > c->written;
  if (waits != c->waits_for_room) {
    struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_MOD, c->fd, &event);
    c->waits_for_room = waits;
  }
  return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
}

static void begin(int poll, int fd, nghttp2_session_callbacks *callbacks) {
  connection *c = calloc(1, sizeof *c);
  int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  c->fd = fd;
  c->output = malloc(WRITE_BYTES);
  nghttp2_session_server_new(&c->session, callbacks, c);
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}};
  nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  flush(c, poll);
}

static void end(connection *c) {
  close(c->fd);
  nghttp2_session_del(c->session);
  free(c->output);
  free(c);
}

static void serve(connection *c, int poll, uint32_t events) {
  static uint8_t input[READ_BYTES];
  if (events & EPOLLIN) {
    ssize_t count = read(c->fd, input, sizeof input);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return end(c);
    if (count > 0 && nghttp2_session_mem_recv(c->session, input, (size_t)count) < 0) return end(c);
  }
  if (flush(c, poll)) end(c);
}

int main(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 128) != 0) fail("listen");
  if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) fail("getsockname");
  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  printf("listening on %d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr) {
        serve(events[i].data.ptr, poll, events[i].events);
      } else {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) begin(poll, fd, callbacks);
      }
    }
  }
}
