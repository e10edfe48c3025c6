// Preloaded into a service, it makes the disk full for what lies under a path, as long as the file FULL_DISK names
// exists. The path is the text of that file.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int is_full(int descriptor) {
  const char *name = getenv("FULL_DISK");
  if (name == NULL) return 0;
  int saved = errno;
  char folder[PATH_MAX] = "", link[64], path[PATH_MAX] = "";
  int file = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : syscall(SYS_read, file, folder, sizeof folder - 1);
  if (file >= 0) close(file);
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (length > 0 && readlink(link, path, sizeof path - 1) < 0) path[0] = 0;
  errno = saved;
  return length > 0 && strncmp(path, folder, length) == 0;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define FULL(descriptor) \
  if (is_full(descriptor)) { \
    errno = ENOSPC; \
    return -1; \
  }

ssize_t write(int descriptor, const void *bytes, size_t count) {
  REAL(ssize_t, write, int, const void *, size_t);
  FULL(descriptor);
  return real(descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
  REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
  FULL(descriptor);
  return real(descriptor, bytes, count, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  FULL(descriptor);
  return real(descriptor, bytes, count, offset);
}
