#ifndef CFAULTS_H
#define CFAULTS_H

#include <stdbool.h>
#include <stdint.h>

/// What SQLite keeps in one folder, on a disk that fails and loses power on command. Everything here may be called from
/// any thread. Files elsewhere are not touched by it.
typedef struct FaultyDisk FaultyDisk;

/// Kinds of operations, to be combined.
enum {
  FAULTY_WRITE = 1,
  FAULTY_SYNC = 2,
  FAULTY_TRUNCATE = 4,
};

/// Takes over files that are opened from now on under `folder`, an absolute path without symbolic links. The first call
/// makes the shim SQLite's default for the whole process.
FaultyDisk *_Nonnull faulty_disk_create(const char *_Nonnull folder);
/// All files must have been closed.
void faulty_disk_destroy(FaultyDisk *_Nonnull disk);

/// Lets the `nth` operation (from 1, counted from this call) of the kinds fail with a result code of SQLite's, a write
/// after half of its bytes; if not `once`, all operations of the kinds after it too, until `faulty_disk_heal`.
void faulty_disk_fail(FaultyDisk *_Nonnull disk, int kinds, long nth, int code, bool once);
void faulty_disk_heal(FaultyDisk *_Nonnull disk);
/// How many operations have failed on purpose since `faulty_disk_fail`.
long faulty_disk_failures(FaultyDisk *_Nonnull disk);

/// Begins to remember what was written and not yet synced, and cuts the power at the `nth` write, sync or truncation from
/// now on: this one and everything after it fails.
void faulty_disk_cut_power(FaultyDisk *_Nonnull disk, long nth);
bool faulty_disk_has_power(FaultyDisk *_Nonnull disk);
/// Once all files are closed: takes away a seeded choice of the 512-byte sectors that were written and not synced,
/// and gives the power back. `kept` is how many of 256 sectors survive. Returns how many sectors were lost, -1 if the
/// files could not be changed.
long faulty_disk_restore_power(FaultyDisk *_Nonnull disk, uint64_t seed, int kept);

/// Takes from the calling thread, and from the threads it starts, root's right to pass over files' permissions.
/// Returns 0, or an error number.
int faults_give_up_privileges(void);

#endif
