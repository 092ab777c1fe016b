#include "transcoder/encode/stages/trailing_hash.h"

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <span>
#include <utility>

#include "core/base/sha256.h"
#include "transcoder/encode/base/file_io.h"

namespace millrace::encode {
namespace {

// Large enough to switch threads rarely, small enough to be in a cache still.
constexpr int64_t kStepBytes = 1 << 20;

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

std::span<const char> Chars(const FileHead& head) {
  const void* bytes = head.data();
  return {static_cast<const char*>(bytes), head.size()};
}

bool BeginsWith(int fd, const FileHead& head) {
  Sha256 foreseen;
  foreseen.Add(Chars(head));
  Sha256 found;
  found.AddFile(fd, 0, std::ssize(head));
  return found.Finish() == foreseen.Finish();
}

// Hashes up to the end of the file, or until asked to stop.
void UpdateToEnd(Sha256& hash, int fd, int64_t begin, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const int64_t end = hash.AddFile(fd, begin, begin + kStepBytes);
    if (end == begin) return;
    begin = end;
  }
}

// Starts writing to the disk without waiting, so that the final fsync has less to do. Takes whole
// steps only, so that no page is written twice.
void BeginWriting(int fd, int64_t begin, int64_t end) {
  begin -= begin % kStepBytes;
  end -= end % kStepBytes;
  sync_file_range(fd, begin, end - begin, SYNC_FILE_RANGE_WRITE);
}

}  // namespace

TrailingHash::TrailingHash(std::string path, ForeseeHead foresee)
    : path_(std::move(path)), foresee_(std::move(foresee)) {
  std::packaged_task<std::string(std::stop_token)> task(
      [this](const std::stop_token& stop) { return Run(stop); });
  result_ = task.get_future();
  thread_ = std::jthread(std::move(task));
}

TrailingHash::~TrailingHash() {
  foreseeing_.request_stop();
  // The thread's destructor asks it to stop and joins it.
}

void TrailingHash::Written(int64_t bytes) {
  if (bytes < told_ + kStepBytes) return;
  told_ = bytes;
  {
    const MutexLock lock(mutex_);
    state_.written = bytes;
  }
  changed_.NotifyOne();
}

void TrailingHash::Complete(int64_t rewritten_to) {
  foreseeing_.request_stop();
  {
    const MutexLock lock(mutex_);
    state_.rewritten_to = rewritten_to;
  }
  changed_.NotifyOne();
}

TrailingHash::State TrailingHash::Await(int64_t bytes, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    const MutexLock lock(mutex_);
    changed_.NotifyOne();
  });
  const MutexLock lock(mutex_);
  while (!stop.stop_requested() && !state_.rewritten_to && state_.written < bytes) {
    changed_.Wait(mutex_);
  }
  return state_;
}

int64_t TrailingHash::Follow(Sha256& hash, int fd, int64_t begin, const std::stop_token& stop) {
  int64_t done = begin;
  while (!stop.stop_requested()) {
    const State state = Await(done + kStepBytes, stop);
    if (state.rewritten_to || state.written < done + kStepBytes) break;
    const int64_t from = done;
    done = hash.AddFile(fd, from, from + kStepBytes);
    BeginWriting(fd, from, done);
    followed_.store(done - begin);
  }
  return done;
}

std::optional<std::string> TrailingHash::HashBehind(const FileHead& head,
                                                    const std::stop_token& stop) {
  const UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) ThrowStorageError("open " + path_, errno);
  Sha256 hash;
  hash.Add(Chars(head));
  const int64_t done = Follow(hash, fd.get(), std::ssize(head), stop);
  const State state = Await(kEnd, stop);
  if (!state.rewritten_to || *state.rewritten_to > std::ssize(head) ||
      !BeginsWith(fd.get(), head)) {
    return std::nullopt;
  }
  UpdateToEnd(hash, fd.get(), done, stop);
  return hash.Finish();
}

std::string TrailingHash::Run(const std::stop_token& stop) {
  const std::optional<FileHead> head = foresee_ ? foresee_(foreseeing_.get_token()) : std::nullopt;
  if (head) {
    if (std::optional<std::string> behind = HashBehind(*head, stop)) return *std::move(behind);
    followed_.store(0);
  }
  Await(kEnd, stop);
  const UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) ThrowStorageError("open " + path_, errno);
  Sha256 hash;
  UpdateToEnd(hash, fd.get(), 0, stop);
  return hash.Finish();
}

}  // namespace millrace::encode
