// Faults for the real agent: LD_PRELOAD this, and file operations fail, are cut short, lie, wait or kill the
// process where a rule says so. The rules lie in a file that both sides map ($WEIR_FAULTS, see
// tests/integration/faults/shim.py, which has the same layout), so a test changes them while the agent runs
// and reads how often each one was hit. $WEIR_FAULT_BOOT_ID: what is read instead of the kernel's boot id.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RULES = 32, PATTERN_BYTES = 192 };
enum {
  OP_WRITE = 1,
  OP_SYNC = 2,
  OP_OPEN = 4,
  OP_RENAME = 8,
  OP_UNLINK = 16,
  OP_ALLOCATE = 32,
  OP_TRUNCATE = 64
};
enum { DO_FAIL = 1, DO_SHORT = 2, DO_LIE = 3, DO_WAIT = 4, DO_KILL = 5, DO_SHORT_KILL = 6 };

struct rule {
  _Atomic uint32_t active;  // written last
  uint32_t ops;             // a set of OP_*
  uint32_t action;          // DO_*
  int32_t error;            // errno of DO_FAIL
  uint64_t bytes;           // of a write, for DO_SHORT; microseconds of DO_WAIT
  _Atomic int64_t skip;     // so many matches go through first
  _Atomic int64_t left;     // then so many are hit; negative: all
  _Atomic uint64_t hits, matches;
  char pattern[PATTERN_BYTES];  // fnmatch() on the path
  char reserved[8];
};
_Static_assert(sizeof(struct rule) == 256, "shim.py has the same layout");

struct shared {
  char magic[8];
  _Atomic int64_t wall_offset_ns;  // added to CLOCK_REALTIME
  char reserved[240];
  struct rule rules[RULES];
};

static struct shared* shared;
static const char* boot_id_path;

static void __attribute__((constructor)) begin(void) {
  boot_id_path = getenv("WEIR_FAULT_BOOT_ID");
  const char* path = getenv("WEIR_FAULTS");
  if (!path) return;
  int (*real_open)(const char*, int, ...) = dlsym(RTLD_NEXT, "open");
  const int fd = real_open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at == MAP_FAILED) return;
  shared = at;
  if (memcmp(shared->magic, "WEIRFLT1", 8) != 0) shared = NULL;
}

#define REAL(name)               \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// The rule that this operation meets, or NULL.
static struct rule* rule_for(uint32_t op, const char* path) {
  if (!shared || !path) return NULL;
  for (int i = 0; i < RULES; ++i) {
    struct rule* r = &shared->rules[i];
    if (!atomic_load(&r->active) || !(r->ops & op) || fnmatch(r->pattern, path, 0) != 0) continue;
    atomic_fetch_add(&r->matches, 1);
    if (atomic_load(&r->skip) > 0 && atomic_fetch_sub(&r->skip, 1) > 0) continue;
    const int64_t left = atomic_load(&r->left);
    if (left == 0 || (left > 0 && atomic_fetch_sub(&r->left, 1) <= 0)) continue;
    atomic_fetch_add(&r->hits, 1);
    return r;
  }
  return NULL;
}

static const char* path_of(int fd, char* buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, buffer, PATH_MAX - 1);
  if (n <= 0) return NULL;
  buffer[n] = '\0';
  return buffer;
}

static const char* path_at(int directory, const char* name, char* buffer) {
  if (name[0] == '/' || directory == AT_FDCWD) return name;
  const char* above = path_of(directory, buffer);
  if (!above) return name;
  const size_t n = strlen(above);
  snprintf(buffer + n, PATH_MAX - n, "/%s", name);
  return buffer;
}

static struct rule* rule_of_fd(uint32_t op, int fd) {
  if (!shared) return NULL;
  char buffer[PATH_MAX];
  const int error = errno;
  struct rule* r = rule_for(op, path_of(fd, buffer));
  errno = error;
  return r;
}
static struct rule* rule_at(uint32_t op, int directory, const char* name) {
  if (!shared) return NULL;
  char buffer[PATH_MAX];
  const int error = errno;
  struct rule* r = rule_for(op, path_at(directory, name, buffer));
  errno = error;
  return r;
}

static void wait_us(uint64_t us) {
  const struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  nanosleep(&t, NULL);
}

// What most operations do with a rule. True: `*result` is the answer, the operation does not take place.
static int stopped(struct rule* r, int* result) {
  if (!r) return 0;
  switch (r->action) {
    case DO_FAIL:
      errno = r->error;
      *result = -1;
      return 1;
    case DO_LIE:
      *result = 0;
      return 1;
    case DO_WAIT:
      wait_us(r->bytes);
      return 0;
    case DO_KILL:
      kill(getpid(), SIGKILL);
      return 0;
    default:
      return 0;
  }
}

// --- writes
// ---------------------------------------------------------------------------------------------------

static ssize_t one(int fd, const void* data, size_t bytes, off_t offset) {
  if (offset < 0) {
    REAL(write);
    return real(fd, data, bytes);
  }
  REAL(pwrite);
  return real(fd, data, bytes, offset);
}

// At most `most` bytes of all parts.
static ssize_t some(int fd, const struct iovec* parts, int count, off_t offset, uint64_t most) {
  ssize_t done = 0;
  for (int i = 0; i < count && most > 0; ++i) {
    const size_t bytes = parts[i].iov_len < most ? parts[i].iov_len : most;
    if (bytes == 0) continue;
    const ssize_t n = one(fd, parts[i].iov_base, bytes, offset < 0 ? offset : offset + done);
    if (n < 0) return done > 0 ? done : n;
    done += n, most -= (uint64_t)n;
    if ((size_t)n < bytes) break;
  }
  return done;
}

// True: `*result` is the answer.
static int faulty_write(int fd, const struct iovec* parts, int count, off_t offset, ssize_t* result) {
  struct rule* r = rule_of_fd(OP_WRITE, fd);
  if (!r) return 0;
  if (r->action == DO_SHORT || r->action == DO_SHORT_KILL) {
    *result = some(fd, parts, count, offset, r->bytes);
    if (r->action == DO_SHORT_KILL) kill(getpid(), SIGKILL);
    return 1;
  }
  int answer = 0;
  if (!stopped(r, &answer)) return 0;
  *result = answer;
  if (answer == 0)  // DO_LIE: it says that all was written
    for (int i = 0; i < count; ++i) *result += (ssize_t)parts[i].iov_len;
  return 1;
}

ssize_t write(int fd, const void* data, size_t bytes) {
  REAL(write);
  const struct iovec part = {(void*)data, bytes};
  ssize_t result;
  return faulty_write(fd, &part, 1, -1, &result) ? result : real(fd, data, bytes);
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
  REAL(writev);
  ssize_t result;
  return faulty_write(fd, parts, count, -1, &result) ? result : real(fd, parts, count);
}
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  REAL(pwrite);
  const struct iovec part = {(void*)data, bytes};
  ssize_t result;
  return faulty_write(fd, &part, 1, offset, &result) ? result : real(fd, data, bytes, offset);
}
ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t offset) {
  REAL(pwritev);
  ssize_t result;
  return faulty_write(fd, parts, count, offset, &result) ? result : real(fd, parts, count, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  return pwrite(fd, data, bytes, offset);
}
ssize_t pwritev64(int fd, const struct iovec* parts, int count, off64_t offset) {
  return pwritev(fd, parts, count, offset);
}

// --- the others
// -----------------------------------------------------------------------------------------------

int fsync(int fd) {
  REAL(fsync);
  int result;
  return stopped(rule_of_fd(OP_SYNC, fd), &result) ? result : real(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  int result;
  return stopped(rule_of_fd(OP_SYNC, fd), &result) ? result : real(fd);
}

static int opened(int directory, const char* path, int flags, mode_t mode) {
  REAL(openat);
  if (boot_id_path && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot_id_path;
  int result;
  return stopped(rule_at(OP_OPEN, directory, path), &result) ? result : real(directory, path, flags, mode);
}
#define MODE_OF(flags)                   \
  mode_t mode = 0;                       \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list more;                        \
    va_start(more, flags);               \
    mode = va_arg(more, mode_t);         \
    va_end(more);                        \
  }
int open(const char* path, int flags, ...) {
  MODE_OF(flags)
  return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  MODE_OF(flags)
  return opened(AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
  MODE_OF(flags)
  return opened(directory, path, flags, mode);
}
int openat64(int directory, const char* path, int flags, ...) {
  MODE_OF(flags)
  return opened(directory, path, flags, mode);
}

int rename(const char* from, const char* to) {
  REAL(rename);
  int result;
  return stopped(rule_at(OP_RENAME, AT_FDCWD, from), &result) ? result : real(from, to);
}
int renameat(int from_dir, const char* from, int to_dir, const char* to) {
  REAL(renameat);
  int result;
  return stopped(rule_at(OP_RENAME, from_dir, from), &result) ? result : real(from_dir, from, to_dir, to);
}
int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  REAL(renameat2);
  int result;
  return stopped(rule_at(OP_RENAME, from_dir, from), &result) ? result
                                                              : real(from_dir, from, to_dir, to, flags);
}
int unlinkat(int directory, const char* name, int flags) {
  REAL(unlinkat);
  int result;
  return stopped(rule_at(OP_UNLINK, directory, name), &result) ? result : real(directory, name, flags);
}
int posix_fallocate(int fd, off_t offset, off_t bytes) {
  REAL(posix_fallocate);
  int result;
  if (!stopped(rule_of_fd(OP_ALLOCATE, fd), &result)) return real(fd, offset, bytes);
  return result == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t offset, off64_t bytes) { return posix_fallocate(fd, offset, bytes); }
int ftruncate(int fd, off_t length) {
  REAL(ftruncate);
  int result;
  return stopped(rule_of_fd(OP_TRUNCATE, fd), &result) ? result : real(fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

// --- the clock
// ------------------------------------------------------------------------------------------------

int clock_gettime(clockid_t clock, struct timespec* out) {
  REAL(clock_gettime);
  const int result = real(clock, out);
  if (result != 0 || !shared || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  const int64_t offset = atomic_load(&shared->wall_offset_ns);
  if (offset == 0) return result;
  const int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + offset;
  out->tv_sec = ns / 1000000000, out->tv_nsec = ns % 1000000000;
  return result;
}
int gettimeofday(struct timeval* out, void* zone) {
  (void)zone;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  out->tv_sec = t.tv_sec, out->tv_usec = t.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}
