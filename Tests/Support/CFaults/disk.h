#ifndef FAULTY_DISK_H
#define FAULTY_DISK_H

#include <sqlite3.h>

#include "CFaults.h"

/// One file by its path: several connections have it open at once, and what one writes another one may sync.
typedef struct DiskFile DiskFile;

/// The disk that a path belongs to, or NULL.
FaultyDisk *disk_of(const char *path);
DiskFile *disk_file(FaultyDisk *disk, const char *path);
void disk_lock(FaultyDisk *disk);
void disk_unlock(FaultyDisk *disk);

/// With the disk locked: counts an operation and says what becomes of it, SQLITE_OK or an error. Where `cut` is set
/// afterwards the power went away during this very operation.
int disk_operation(FaultyDisk *disk, int kind, bool *cut);
/// With the disk locked: an operation that only fails without power.
bool disk_has_power(FaultyDisk *disk);

/// With the disk locked, before the operation is done: remembers what a write or a truncation destroys.
int disk_will_write(FaultyDisk *disk, DiskFile *file, sqlite3_file *real, const void *bytes, int count, sqlite3_int64 offset);
int disk_will_truncate(FaultyDisk *disk, DiskFile *file, sqlite3_file *real, sqlite3_int64 size);
/// With the disk locked: everything written to the file is durable, or the file is gone.
void disk_settle(DiskFile *file);

#endif
