// Preloaded into the programs by the chaos harness: makes file operations fail and shifts the wall
// clock as FaultControl says. Does not depend on Millrace and does nothing without its file.

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/chaos/fault_control.h"

namespace {

using namespace millrace::chaos;

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

FaultControl* control = nullptr;
ProgramKind program_kind = ProgramKind::kBroker;

// Returns the C library's function that one of these wrappers replaces.
template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// The encoder inherits its worker's environment, so only the program's name tells the two apart.
bool IsEncoder() { return std::strcmp(program_invocation_short_name, "millrace-encode") == 0; }

__attribute__((constructor)) void MapControl() {
  const char* path = std::getenv(kControlVariable);
  const char* kind = std::getenv(kProgramVariable);
  if (path == nullptr || kind == nullptr) return;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) return;
  program_kind = IsEncoder() ? ProgramKind::kEncode : static_cast<ProgramKind>(std::atoi(kind));
  control = static_cast<FaultControl*>(mapped);
}

// Draws with xorshift64*: failures need not repeat from run to run.
bool Drawn(uint32_t per_million) {
  static thread_local uint64_t state = 0;
  if (state == 0) state = reinterpret_cast<uintptr_t>(&state) ^ static_cast<uint64_t>(getpid());
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 2685821657736338717ULL >> 33) % 1'000'000 < per_million;
}

// Sets errno and returns true if this operation is to fail.
bool Fails(FaultyOperation operation, const char* path) {
  for (FaultRule& rule : control->rules) {
    if (rule.armed.load(std::memory_order_acquire) == 0) continue;
    if ((rule.operations & operation) == 0) continue;
    if ((rule.programs & (1u << static_cast<uint32_t>(program_kind))) == 0) continue;
    if (std::strncmp(path, rule.prefix, std::strlen(rule.prefix)) != 0) continue;
    if (!Drawn(rule.per_million)) continue;
    ++rule.hits;
    errno = rule.error;
    return true;
  }
  return false;
}

bool Armed() { return control != nullptr && control->armed_rules.load() != 0; }

bool FailsOnFile(FaultyOperation operation, int fd) {
  if (!Armed()) return false;
  char link[64];
  char path[512];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const int before = errno;
  const ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length <= 0) return false;
  path[length] = '\0';
  return Fails(operation, path);
}

bool FailsOnName(const char* path) {
  return Armed() && path != nullptr && path[0] == '/' && Fails(kFailName, path);
}

int64_t OffsetNs() {
  return control == nullptr ? 0
                            : control->clock_offset_ns[static_cast<size_t>(program_kind)].load();
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t)>("write");
  return FailsOnFile(kFailWrite, fd) ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return FailsOnFile(kFailWrite, fd) ? -1 : real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset)
    __attribute__((alias("pwrite")));

ssize_t writev(int fd, const iovec* parts, int count) {
  static const auto real = Real<ssize_t (*)(int, const iovec*, int)>("writev");
  return FailsOnFile(kFailWrite, fd) ? -1 : real(fd, parts, count);
}

int fsync(int fd) {
  static const auto real = Real<int (*)(int)>("fsync");
  return FailsOnFile(kFailSync, fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
  static const auto real = Real<int (*)(int)>("fdatasync");
  return FailsOnFile(kFailSync, fd) ? -1 : real(fd);
}

int open(const char* path, int flags, ...) {
  static const auto real = Real<int (*)(const char*, int, ...)>("open");
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
    if (FailsOnName(path)) return -1;
  }
  return real(path, flags, mode);
}

// An alias suffices: off_t has 64 bits on 64-bit systems.
int open64(const char* path, int flags, ...) __attribute__((alias("open")));

int rename(const char* from, const char* to) {
  static const auto real = Real<int (*)(const char*, const char*)>("rename");
  return FailsOnName(to) ? -1 : real(from, to);
}

int link(const char* from, const char* to) {
  static const auto real = Real<int (*)(const char*, const char*)>("link");
  return FailsOnName(to) ? -1 : real(from, to);
}

int mkdir(const char* path, mode_t mode) {
  static const auto real = Real<int (*)(const char*, mode_t)>("mkdir");
  return FailsOnName(path) ? -1 : real(path, mode);
}

int clock_gettime(clockid_t clock, timespec* time) {
  static const auto real = Real<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, time);
  if (result != 0 || clock != CLOCK_REALTIME) return result;
  if (const int64_t offset = OffsetNs(); offset != 0) {
    const int64_t now = time->tv_sec * kNanosecondsPerSecond + time->tv_nsec + offset;
    time->tv_sec = now / kNanosecondsPerSecond;
    time->tv_nsec = now % kNanosecondsPerSecond;
  }
  return result;
}

int gettimeofday(timeval* time, void* zone) {
  static const auto real = Real<int (*)(timeval*, void*)>("gettimeofday");
  const int result = real(time, zone);
  if (result == 0) time->tv_sec += OffsetNs() / kNanosecondsPerSecond;
  return result;
}

time_t time(time_t* out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
