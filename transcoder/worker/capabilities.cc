#include "transcoder/worker/capabilities.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/base/unique_fd.h"
#include "transcoder/worker/child/spawn.h"

namespace millrace::worker {
namespace {

constexpr size_t kMaxAnswerBytes = size_t{1} << 20;

// Returns nullopt if the writer has not ended by `deadline`, or writes too much.
std::optional<std::string> ReadAll(int fd, std::chrono::steady_clock::time_point deadline) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() <= kMaxAnswerBytes) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (left.count() <= 0) return std::nullopt;
    if (poll(&ready, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t size = read(fd, buffer.data(), buffer.size());
    if (size == 0) return text;
    if (size > 0) text.append(buffer.data(), static_cast<size_t>(size));
    if (size < 0 && errno != EINTR) return std::nullopt;
  }
  return std::nullopt;
}

[[noreturn]] void Refuse(const std::filesystem::path& encoder, const std::string& why) {
  throw Error(ErrorCode::kEncoderUnavailable, encoder.string() + " --capabilities " + why);
}

}  // namespace

Capabilities AskCapabilities(const std::filesystem::path& encoder,
                             std::chrono::milliseconds timeout) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) Refuse(encoder, "got no pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t pid = Spawn({.program = encoder,
                           .arguments = {"--capabilities"},
                           .descriptors = {{theirs.get(), STDOUT_FILENO}}});
  theirs.Reset();
  const std::optional<std::string> answer =
      ReadAll(ours.get(), std::chrono::steady_clock::now() + timeout);
  if (!answer) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answer) Refuse(encoder, "did not answer in time");
  if (status != 0) Refuse(encoder, "ended badly (wait status " + std::to_string(status) + ")");
  try {
    const nlohmann::json json = nlohmann::json::parse(*answer);
    return {.encoders = json.at("encoders"), .versions = json.at("versions")};
  } catch (const nlohmann::json::exception& error) {
    Refuse(encoder, std::string("gave an answer that is not understood: ") + error.what());
  }
}

}  // namespace millrace::worker
