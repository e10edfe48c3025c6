// The shim between SQLite and its default VFS: files of a faulty disk go through the disk's state, all others do not.

#include <string.h>

#include "disk.h"

typedef struct ShimFile {
  sqlite3_file base;
  sqlite3_file *real;  // follows this struct
  FaultyDisk *disk;    // NULL for a file that is not on a faulty disk
  DiskFile *file;
} ShimFile;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim_vfs;

static sqlite3_file *real_of(sqlite3_file *file) { return ((ShimFile *)file)->real; }
static const sqlite3_io_methods *methods_of(sqlite3_file *file) { return real_of(file)->pMethods; }

static int shim_close(sqlite3_file *file) { return methods_of(file)->xClose(real_of(file)); }

static int shim_read(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
  FaultyDisk *disk = ((ShimFile *)file)->disk;
  if (disk != NULL && !faulty_disk_has_power(disk)) return SQLITE_IOERR_READ;
  return methods_of(file)->xRead(real_of(file), bytes, count, offset);
}

static int write_on_disk(ShimFile *shim, const void *bytes, int count, sqlite3_int64 offset) {
  bool cut;
  int code = disk_operation(shim->disk, FAULTY_WRITE, &cut);
  // A failing write has usually done something; without power it may have done anything.
  int done = code == SQLITE_OK || cut ? count : count / 2;
  if (code != SQLITE_OK && !cut && !disk_has_power(shim->disk)) done = 0;
  if (done > 0) {
    int remembered = disk_will_write(shim->disk, shim->file, shim->real, bytes, done, offset);
    if (remembered != SQLITE_OK) return remembered;
    int written = shim->real->pMethods->xWrite(shim->real, bytes, done, offset);
    if (written != SQLITE_OK) return written;
  }
  return code == SQLITE_IOERR ? SQLITE_IOERR_WRITE : code;
}

static int shim_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
  ShimFile *shim = (ShimFile *)file;
  if (shim->disk == NULL) return shim->real->pMethods->xWrite(shim->real, bytes, count, offset);
  disk_lock(shim->disk);
  int code = write_on_disk(shim, bytes, count, offset);
  disk_unlock(shim->disk);
  return code;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size) {
  ShimFile *shim = (ShimFile *)file;
  if (shim->disk == NULL) return shim->real->pMethods->xTruncate(shim->real, size);
  bool cut;
  disk_lock(shim->disk);
  int code = disk_operation(shim->disk, FAULTY_TRUNCATE, &cut);
  if (code == SQLITE_OK) code = disk_will_truncate(shim->disk, shim->file, shim->real, size);
  if (code == SQLITE_OK) code = shim->real->pMethods->xTruncate(shim->real, size);
  disk_unlock(shim->disk);
  return code == SQLITE_IOERR ? SQLITE_IOERR_TRUNCATE : code;
}

static int shim_sync(sqlite3_file *file, int flags) {
  ShimFile *shim = (ShimFile *)file;
  if (shim->disk == NULL) return shim->real->pMethods->xSync(shim->real, flags);
  bool cut;
  disk_lock(shim->disk);
  int code = disk_operation(shim->disk, FAULTY_SYNC, &cut);
  if (code == SQLITE_OK) code = shim->real->pMethods->xSync(shim->real, flags);
  if (code == SQLITE_OK) disk_settle(shim->file);
  disk_unlock(shim->disk);
  return code == SQLITE_IOERR ? SQLITE_IOERR_FSYNC : code;
}

// What only passes through.

static int shim_file_size(sqlite3_file *file, sqlite3_int64 *size) {
  return methods_of(file)->xFileSize(real_of(file), size);
}
static int shim_lock(sqlite3_file *file, int level) { return methods_of(file)->xLock(real_of(file), level); }
static int shim_unlock(sqlite3_file *file, int level) { return methods_of(file)->xUnlock(real_of(file), level); }
static int shim_check_reserved_lock(sqlite3_file *file, int *result) {
  return methods_of(file)->xCheckReservedLock(real_of(file), result);
}
static int shim_file_control(sqlite3_file *file, int operation, void *argument) {
  return methods_of(file)->xFileControl(real_of(file), operation, argument);
}
static int shim_sector_size(sqlite3_file *file) { return methods_of(file)->xSectorSize(real_of(file)); }
static int shim_device_characteristics(sqlite3_file *file) {
  return methods_of(file)->xDeviceCharacteristics(real_of(file));
}
// The index of the write-ahead log is shared memory: it need not survive anything, and is rebuilt.
static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory) {
  return methods_of(file)->xShmMap(real_of(file), page, size, extend, memory);
}
static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
  return methods_of(file)->xShmLock(real_of(file), offset, count, flags);
}
static void shim_shm_barrier(sqlite3_file *file) { methods_of(file)->xShmBarrier(real_of(file)); }
static int shim_shm_unmap(sqlite3_file *file, int delete) {
  return methods_of(file)->xShmUnmap(real_of(file), delete);
}

/// Version 2: without memory-mapped reading, which would go past a power cut.
static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_file_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_reserved_lock,
    .xFileControl = shim_file_control,
    .xSectorSize = shim_sector_size,
    .xDeviceCharacteristics = shim_device_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags) {
  (void)vfs;
  ShimFile *shim = (ShimFile *)file;
  memset(shim, 0, sizeof *shim);
  shim->real = (sqlite3_file *)(shim + 1);
  shim->disk = disk_of(path);
  if (shim->disk != NULL && !faulty_disk_has_power(shim->disk)) return SQLITE_CANTOPEN;
  int code = real_vfs->xOpen(real_vfs, path, shim->real, flags, out_flags);
  if (code != SQLITE_OK) return code;
  if (shim->disk != NULL) shim->file = disk_file(shim->disk, path);
  shim->base.pMethods = &shim_methods;
  return SQLITE_OK;
}

/// A deletion counts as durable at once: SQLite deletes a log only after what it held is synced elsewhere.
static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
  (void)vfs;
  FaultyDisk *disk = disk_of(path);
  if (disk == NULL) return real_vfs->xDelete(real_vfs, path, sync_folder);
  if (!faulty_disk_has_power(disk)) return SQLITE_IOERR_DELETE;
  DiskFile *file = disk_file(disk, path);
  disk_lock(disk);
  int code = real_vfs->xDelete(real_vfs, path, sync_folder);
  if (code == SQLITE_OK) disk_settle(file);
  disk_unlock(disk);
  return code;
}

/// Called with the list of disks locked, so only one caller is here at a time.
void faulty_vfs_register(void) {
  if (real_vfs != NULL) return;
  real_vfs = sqlite3_vfs_find(NULL);
  // The other functions take from their first argument only what is copied here.
  shim_vfs = *real_vfs;
  shim_vfs.zName = "faulty";
  shim_vfs.szOsFile = sizeof(ShimFile) + real_vfs->szOsFile;
  shim_vfs.xOpen = shim_open;
  shim_vfs.xDelete = shim_delete;
  sqlite3_vfs_register(&shim_vfs, 1);
}
