// A clock and a source of random numbers that the test decides about, put in front of those of the C library.
//
// SCHEDULE_CLOCK names a file whose first eight bytes are the time of day in ns. With SCHEDULE_MONOTONIC the monotonic
// clock shows the same; with SCHEDULE_SEED random numbers follow from it. Without them everything is as it was.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shown;
static int is_monotonic_shown;
static int is_seeded;
static uint64_t state;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SCHEDULE_CLOCK"), *seed = getenv("SCHEDULE_SEED");
  is_monotonic_shown = getenv("SCHEDULE_MONOTONIC") != NULL;
  if (seed) {
    state = strtoull(seed, NULL, 10);
    is_seeded = 1;
  }
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof *shown, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED) shown = page;
}

static int is_shown(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return shown != NULL;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return shown != NULL && is_monotonic_shown;
    default:
      return 0;
  }
}

int clock_gettime(clockid_t clock, struct timespec *into) {
  if (!is_shown(clock)) return (int)syscall(SYS_clock_gettime, clock, into);
  int64_t now = *shown;
  into->tv_sec = now / 1000000000;
  into->tv_nsec = now % 1000000000;
  return 0;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  into->tv_sec = now.tv_sec;
  into->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *into) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}

// SplitMix64.
static uint64_t next(void) {
  uint64_t z = __atomic_add_fetch(&state, 0x9E3779B97F4A7C15, __ATOMIC_RELAXED);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

ssize_t getrandom(void *into, size_t length, unsigned flags) {
  if (!is_seeded) return syscall(SYS_getrandom, into, length, flags);
  for (size_t i = 0; i < length; i++) ((unsigned char *)into)[i] = (unsigned char)(next() >> 32);
  return (ssize_t)length;
}

int getentropy(void *into, size_t length) { return getrandom(into, length, 0) < 0 ? -1 : 0; }
