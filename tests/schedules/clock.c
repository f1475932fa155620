// A clock, a source of random numbers and an order of threads that the test decides about, put in front of those of the C
// library.
//
// SCHEDULE_CLOCK names a file whose first eight bytes are the time of day in ns. With SCHEDULE_SEED random numbers follow
// from it. With SCHEDULE_MONOTONIC the monotonic clock shows the same, and threads take turns: a thread runs until it waits
// for its sockets and timers (`epoll_wait`) and finds nothing there; then another one that has something to do goes on; and
// when none has, the time jumps to what is due next. Who goes first follows from the seed, anew for each moment. Without all
// these everything is as it was.

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024

// What is in the file. `expected` is how many threads there are beside the first; a thread whose `still` is not 0 stands
// still: it gets no turn, whatever is due or comes. They are numbered in the order in which they come.
static volatile struct {
  int64_t now;
  uint64_t expected;
  unsigned char still[MOST];
} *shown;
static int is_monotonic_shown;
static int is_seeded;
static uint64_t state;

// Whose turn it is, and what each thread waits for.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static struct {
  pthread_cond_t turn;
  int epoll;
  int64_t due;
} threads[MOST];
static uint64_t known;
static uint64_t running;
static uint64_t order, moment;
static __thread uint64_t own = MOST;

// Gives this thread its number.
static void come(void) {
  if (known == MOST) abort();
  own = known++;
  threads[own].epoll = -1;
  pthread_cond_init(&threads[own].turn, NULL);
  pthread_cond_broadcast(&came);
}

// In the first thread, whose turn it is.
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SCHEDULE_CLOCK"), *seed = getenv("SCHEDULE_SEED");
  int writes = getenv("SCHEDULE_MONOTONIC") != NULL;
  if (seed) {
    state = strtoull(seed, NULL, 10);
    order = state ^ 0x5CEDA1E;
    is_seeded = 1;
  }
  int file = path ? open(path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof *shown, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page == MAP_FAILED) return;
  shown = page;
  is_monotonic_shown = writes;
  if (writes) come();
}

static int is_shown(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return shown != NULL;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return is_monotonic_shown;
    default:
      return 0;
  }
}

int clock_gettime(clockid_t clock, struct timespec *into) {
  if (!is_shown(clock)) return (int)syscall(SYS_clock_gettime, clock, into);
  int64_t now = shown->now;
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
static uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

static uint64_t next(uint64_t *from) { return mixed(__atomic_add_fetch(from, 0x9E3779B97F4A7C15, __ATOMIC_RELAXED)); }

ssize_t getrandom(void *into, size_t length, unsigned flags) {
  if (!is_seeded) return syscall(SYS_getrandom, into, length, flags);
  for (size_t i = 0; i < length; i++) ((unsigned char *)into)[i] = (unsigned char)(next(&state) >> 32);
  return (ssize_t)length;
}

int getentropy(void *into, size_t length) { return getrandom(into, length, 0) < 0 ? -1 : 0; }

static int look(int epoll, struct epoll_event *events, int most, int time) {
  return (int)syscall(SYS_epoll_pwait, epoll, events, most, time, NULL, 0);
}

// Gives the turn to the first thread, in the order of the moment, that has something to do, at the time at which one has. The
// system may wake one that finds nothing to do: which of those that do comes first must not depend on it.
static void pass_on(void) {
  static struct pollfd polled[MOST];
  // One that was started and has not come yet may have something to do.
  while (known < shown->expected + 1) pthread_cond_wait(&came, &lock);
  for (;;) {
    for (uint64_t i = 0; i < known; i++)
      polled[i] = (struct pollfd){.fd = shown->still[i] ? -1 : threads[i].epoll, .events = POLLIN};
    poll(polled, known, 0);
    uint64_t first = MOST, rank = 0;
    int64_t due = INT64_MAX;
    for (uint64_t i = 0; i < known; i++) {
      if (shown->still[i]) continue;
      if (threads[i].due < due) due = threads[i].due;
      if (polled[i].revents == 0 && threads[i].due > shown->now) continue;
      uint64_t own_rank = mixed(moment ^ i * 0x9E3779B97F4A7C15);
      if (first == MOST || own_rank < rank) first = i, rank = own_rank;
    }
    if (first != MOST) {
      running = first;
      pthread_cond_signal(&threads[first].turn);
      return;
    }
    // Nobody has anything to do, now or ever.
    if (due == INT64_MAX) abort();
    shown->now = due;
    moment = next(&order);
  }
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int time) {
  if (!is_monotonic_shown) return look(epoll, events, most, time);
  pthread_mutex_lock(&lock);
  int is_new = own == MOST;
  if (is_new) come();
  threads[own].epoll = epoll;
  // One that has just come waits for its turn, whatever it came for.
  threads[own].due = is_new ? shown->now : time < 0 ? INT64_MAX : shown->now + (int64_t)time * 1000000;
  while (is_new && running != own) pthread_cond_wait(&threads[own].turn, &lock);
  int count;
  while ((count = look(epoll, events, most, 0)) == 0 && shown->now < threads[own].due) {
    pass_on();
    while (running != own) pthread_cond_wait(&threads[own].turn, &lock);
  }
  pthread_mutex_unlock(&lock);
  return count;
}
