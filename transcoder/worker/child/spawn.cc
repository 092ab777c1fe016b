#include "transcoder/worker/child/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "core/base/error.h"

namespace millrace::worker {
namespace {

class Attributes {
 public:
  Attributes() {
    posix_spawnattr_init(&value_);
    sigset_t none;
    sigset_t usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    for (const int signal : {SIGTERM, SIGINT, SIGPIPE, SIGHUP}) sigaddset(&usual, signal);
    posix_spawnattr_setsigmask(&value_, &none);
    posix_spawnattr_setsigdefault(&value_, &usual);
    posix_spawnattr_setpgroup(&value_, 0);
    posix_spawnattr_setflags(
        &value_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Attributes() { posix_spawnattr_destroy(&value_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  const posix_spawnattr_t* get() const { return &value_; }

 private:
  posix_spawnattr_t value_{};
};

class FileActions {
 public:
  explicit FileActions(const SpawnOrder& order) {
    posix_spawn_file_actions_init(&value_);
    posix_spawn_file_actions_addopen(&value_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (const auto& [here, there] : order.descriptors) {
      // Clears close-on-exec, also if both numbers are equal.
      posix_spawn_file_actions_adddup2(&value_, here, there);
    }
  }
  ~FileActions() { posix_spawn_file_actions_destroy(&value_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  const posix_spawn_file_actions_t* get() const { return &value_; }

 private:
  posix_spawn_file_actions_t value_{};
};

}  // namespace

pid_t Spawn(const SpawnOrder& order) {
  std::vector<std::string> words = {order.program.string()};
  words.insert(words.end(), order.arguments.begin(), order.arguments.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, order.program.c_str(), FileActions(order).get(),
                                Attributes().get(), arguments.data(), environ);
  if (error != 0) {
    throw Error(ErrorCode::kEncoderUnavailable,
                "cannot start " + order.program.string() + ": " + std::strerror(error));
  }
  return pid;
}

}  // namespace millrace::worker
