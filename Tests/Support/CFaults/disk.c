// The disk's state: which operation is to fail, and what was written to each file since it was last synced. The files
// themselves always hold the newest bytes, so that all connections see them; a power cut is played by undoing.

#include "disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512 };

/// A write or a truncation that is not durable yet.
typedef struct Change {
  struct Change *earlier, *later;
  sqlite3_int64 offset, count;  // what was written; a truncation has no bytes and its new size as the offset
  sqlite3_int64 old_size, old_count;
  unsigned char *old_bytes, *new_bytes;
} Change;

struct DiskFile {
  struct DiskFile *next;
  char *path;
  Change *first, *last;
};

struct FaultyDisk {
  struct FaultyDisk *next;
  char *folder;
  pthread_mutex_t mutex;
  DiskFile *files;
  int kinds, code;
  long until_failure, failures;
  bool is_armed, once;
  bool remembers, has_power;
  long until_cut;
};

static FaultyDisk *disks;
static pthread_mutex_t disks_mutex = PTHREAD_MUTEX_INITIALIZER;

void faulty_vfs_register(void);

FaultyDisk *faulty_disk_create(const char *folder) {
  FaultyDisk *disk = calloc(1, sizeof *disk);
  disk->folder = strdup(folder);
  disk->has_power = true;
  pthread_mutex_init(&disk->mutex, NULL);
  pthread_mutex_lock(&disks_mutex);
  faulty_vfs_register();
  disk->next = disks;
  disks = disk;
  pthread_mutex_unlock(&disks_mutex);
  return disk;
}

void faulty_disk_destroy(FaultyDisk *disk) {
  pthread_mutex_lock(&disks_mutex);
  FaultyDisk **link = &disks;
  while (*link != disk) link = &(*link)->next;
  *link = disk->next;
  pthread_mutex_unlock(&disks_mutex);
  for (DiskFile *file = disk->files, *next; file != NULL; file = next) {
    next = file->next;
    disk_settle(file);
    free(file->path);
    free(file);
  }
  pthread_mutex_destroy(&disk->mutex);
  free(disk->folder);
  free(disk);
}

FaultyDisk *disk_of(const char *path) {
  if (path == NULL) return NULL;
  pthread_mutex_lock(&disks_mutex);
  FaultyDisk *disk = disks;
  for (; disk != NULL; disk = disk->next) {
    size_t length = strlen(disk->folder);
    if (strncmp(path, disk->folder, length) == 0 && path[length] == '/') break;
  }
  pthread_mutex_unlock(&disks_mutex);
  return disk;
}

void disk_lock(FaultyDisk *disk) { pthread_mutex_lock(&disk->mutex); }
void disk_unlock(FaultyDisk *disk) { pthread_mutex_unlock(&disk->mutex); }

DiskFile *disk_file(FaultyDisk *disk, const char *path) {
  disk_lock(disk);
  DiskFile *file = disk->files;
  while (file != NULL && strcmp(file->path, path) != 0) file = file->next;
  if (file == NULL) {
    file = calloc(1, sizeof *file);
    file->path = strdup(path);
    file->next = disk->files;
    disk->files = file;
  }
  disk_unlock(disk);
  return file;
}

// What fails when.

void faulty_disk_fail(FaultyDisk *disk, int kinds, long nth, int code, bool once) {
  disk_lock(disk);
  disk->kinds = kinds;
  disk->until_failure = nth;
  disk->code = code;
  disk->once = once;
  disk->failures = 0;
  disk->is_armed = true;
  disk_unlock(disk);
}

void faulty_disk_heal(FaultyDisk *disk) {
  disk_lock(disk);
  disk->is_armed = false;
  disk_unlock(disk);
}

long faulty_disk_failures(FaultyDisk *disk) {
  disk_lock(disk);
  long failures = disk->failures;
  disk_unlock(disk);
  return failures;
}

void faulty_disk_cut_power(FaultyDisk *disk, long nth) {
  disk_lock(disk);
  disk->remembers = true;
  disk->until_cut = nth;
  disk_unlock(disk);
}

bool faulty_disk_has_power(FaultyDisk *disk) {
  disk_lock(disk);
  bool has_power = disk->has_power;
  disk_unlock(disk);
  return has_power;
}

bool disk_has_power(FaultyDisk *disk) { return disk->has_power; }

int disk_operation(FaultyDisk *disk, int kind, bool *cut) {
  *cut = false;
  if (!disk->has_power) return SQLITE_IOERR;
  if (disk->remembers && --disk->until_cut <= 0) {
    disk->has_power = false;
    *cut = true;
    return SQLITE_IOERR;
  }
  if (!disk->is_armed || (disk->kinds & kind) == 0) return SQLITE_OK;
  if (disk->until_failure > 0) disk->until_failure -= 1;
  if (disk->until_failure > 0) return SQLITE_OK;
  disk->failures += 1;
  if (disk->once) disk->is_armed = false;
  return disk->code;
}

// What is not durable yet.

static Change *remember(DiskFile *file, sqlite3_file *real, sqlite3_int64 offset, sqlite3_int64 end) {
  Change *change = calloc(1, sizeof *change);
  int code = real->pMethods->xFileSize(real, &change->old_size);
  change->offset = offset;
  if (end > change->old_size) end = change->old_size;
  if (end > offset) {
    change->old_count = end - offset;
    change->old_bytes = malloc(change->old_count);
    if (code == SQLITE_OK) code = real->pMethods->xRead(real, change->old_bytes, (int)change->old_count, offset);
  }
  if (code != SQLITE_OK) {
    free(change->old_bytes);
    free(change);
    return NULL;
  }
  change->earlier = file->last;
  *(file->last == NULL ? &file->first : &file->last->later) = change;
  file->last = change;
  return change;
}

int disk_will_write(
    FaultyDisk *disk, DiskFile *file, sqlite3_file *real, const void *bytes, int count, sqlite3_int64 offset) {
  if (!disk->remembers) return SQLITE_OK;
  Change *change = remember(file, real, offset, offset + count);
  if (change == NULL) return SQLITE_IOERR;
  change->count = count;
  change->new_bytes = malloc(count);
  memcpy(change->new_bytes, bytes, count);
  return SQLITE_OK;
}

int disk_will_truncate(FaultyDisk *disk, DiskFile *file, sqlite3_file *real, sqlite3_int64 size) {
  if (!disk->remembers) return SQLITE_OK;
  return remember(file, real, size, INT64_MAX) == NULL ? SQLITE_IOERR : SQLITE_OK;
}

void disk_settle(DiskFile *file) {
  for (Change *change = file->first, *later; change != NULL; change = later) {
    later = change->later;
    free(change->old_bytes);
    free(change->new_bytes);
    free(change);
  }
  file->first = file->last = NULL;
}

static bool undo(int descriptor, Change *change) {
  return pwrite(descriptor, change->old_bytes, change->old_count, change->offset) == change->old_count &&
         ftruncate(descriptor, change->old_size) == 0;
}

/// SplitMix64.
static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

/// Does a change again, as far as chance kept it; returns how many sectors it lost, -1 for an error.
static long redo(int descriptor, Change *change, uint64_t *state, int kept) {
  if (change->new_bytes == NULL) {
    if ((int)(draw(state) & 255) >= kept) return 1;
    return ftruncate(descriptor, change->offset) == 0 ? 0 : -1;
  }
  long lost = 0;
  for (sqlite3_int64 start = 0, end; start < change->count; start = end) {
    end = ((change->offset + start) / SECTOR + 1) * SECTOR - change->offset;
    if (end > change->count) end = change->count;
    if ((int)(draw(state) & 255) >= kept) {
      lost += 1;
    } else if (pwrite(descriptor, change->new_bytes + start, end - start, change->offset + start) != end - start) {
      return -1;
    }
  }
  return lost;
}

static long lose(DiskFile *file, uint64_t *state, int kept) {
  if (file->first == NULL) return 0;
  int descriptor = open(file->path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return -1;
  long lost = 0;
  for (Change *change = file->last; change != NULL && lost >= 0; change = change->earlier) {
    if (!undo(descriptor, change)) lost = -1;
  }
  for (Change *change = file->first; change != NULL && lost >= 0; change = change->later) {
    long more = redo(descriptor, change, state, kept);
    lost = more < 0 ? -1 : lost + more;
  }
  close(descriptor);
  disk_settle(file);
  return lost;
}

long faulty_disk_restore_power(FaultyDisk *disk, uint64_t seed, int kept) {
  disk_lock(disk);
  long lost = 0;
  for (DiskFile *file = disk->files; file != NULL && lost >= 0; file = file->next) {
    long more = lose(file, &seed, kept);
    lost = more < 0 ? -1 : lost + more;
  }
  disk->has_power = true;
  disk->remembers = false;
  disk_unlock(disk);
  return lost;
}
