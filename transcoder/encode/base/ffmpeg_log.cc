#include "transcoder/encode/base/ffmpeg_log.h"

extern "C" {
#include <libavutil/log.h>
}

#include <unistd.h>

#include <array>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "core/base/mutex.h"

namespace millrace::encode {
namespace {

// Limits the log of a damaged input, which may bring a complaint for every packet of a day of
// media.
constexpr int64_t kMaxLogBytes = int64_t{8} << 20;

struct State {
  Mutex mutex;
  FfmpegComplaints complaints GUARDED_BY(mutex);
  std::string line GUARDED_BY(mutex);         // begun and not yet ended by a newline
  std::string last_line GUARDED_BY(mutex);    // written last
  int64_t repetitions GUARDED_BY(mutex) = 0;  // of last_line, not written
  int64_t bytes GUARDED_BY(mutex) = 0;        // written
};

thread_local bool muted = false;

State& TheState() {
  static State state;
  return state;
}

AVClassCategory CategoryOf(void* object, const AVClass* kind) {
  return kind->get_category != nullptr ? kind->get_category(object) : kind->category;
}

void Write(const std::string& line) {
  // Writes a line in one call, so that lines of several processes in one file are not mixed.
  const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  static_cast<void>(written);  // nobody is left to tell
}

void Write(State& state, const std::string& line) REQUIRES(state.mutex) {
  if (state.bytes > kMaxLogBytes) return;
  state.bytes += std::ssize(line);
  if (state.bytes > kMaxLogBytes) {
    Write("(the rest of FFmpeg's log is left out)\n");
    return;
  }
  Write(line);
}

void WriteOnce(State& state, const std::string& line) REQUIRES(state.mutex) {
  if (line == state.last_line) {
    ++state.repetitions;
    return;
  }
  if (state.repetitions > 0) {
    Write(state, "  (the last line came " + std::to_string(state.repetitions) + " more times)\n");
  }
  state.repetitions = 0;
  state.last_line = line;
  Write(state, line);
}

void OnLine(State& state, int level, AVClassCategory category, const std::string& line)
    REQUIRES(state.mutex) {
  if (level <= AV_LOG_ERROR) {
    FfmpegComplaints& complaints = state.complaints;
    complaints.last_error = line.substr(0, line.find_last_not_of('\n') + 1);
    if (category == AV_CLASS_CATEGORY_DEMUXER) ++complaints.demuxer_errors;
    if (category == AV_CLASS_CATEGORY_DECODER) {
      ++complaints.decoder_errors;
      complaints.last_decoder_error = complaints.last_error;
    }
  }
  WriteOnce(state, line);
}

void Callback(void* object, int level, const char* format, va_list arguments) {
  level &= 0xff;
  if (level > AV_LOG_INFO || muted) return;
  std::array<char, 1024> text{};
  if (vsnprintf(text.data(), text.size(), format, arguments) <= 0) return;
  const AVClass* kind = object != nullptr ? *static_cast<const AVClass**>(object) : nullptr;
  State& state = TheState();
  const MutexLock lock(state.mutex);
  if (state.line.empty() && kind != nullptr) {
    state.line = std::string(kind->item_name(object)) + ": ";
  }
  state.line += text.data();
  if (state.line.back() != '\n' && state.line.size() < 4096) return;
  const std::string line = std::move(state.line);
  state.line.clear();
  OnLine(state, level, kind != nullptr ? CategoryOf(object, kind) : AV_CLASS_CATEGORY_NA, line);
}

}  // namespace

void StartFfmpegLog() {
  TheState();
  av_log_set_level(AV_LOG_INFO);
  av_log_set_callback(&Callback);
}

FfmpegComplaints Complaints() {
  State& state = TheState();
  const MutexLock lock(state.mutex);
  return state.complaints;
}

MutedFfmpegLog::MutedFfmpegLog() { muted = true; }

MutedFfmpegLog::~MutedFfmpegLog() { muted = false; }

void ForgetComplaints() {
  State& state = TheState();
  const MutexLock lock(state.mutex);
  state.complaints = {};
}

}  // namespace millrace::encode
