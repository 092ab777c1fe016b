#include "transcoder/encode/base/report.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/base/json_text.h"

namespace millrace::encode {

void Report::Write(const nlohmann::json& line) {
  std::string text = ToText(line);
  text += '\n';
  const MutexLock lock(mutex_);
  for (size_t done = 0; done < text.size();) {
    const ssize_t put = write(fd_, text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;
    done += static_cast<size_t>(put);
  }
}

void Report::Started() { Write({{"type", "started"}}); }
void Report::Media(const nlohmann::json& media) { Write({{"type", "media"}, {"media", media}}); }
void Report::Made(const Progress& progress) {
  Write({{"type", "progress"}, {"progress", ToJson(progress)}});
}
void Report::Succeeded(const Manifest& manifest) {
  Write({{"type", "result"}, {"manifest", ToJson(manifest)}});
}
void Report::Failed(const Error& error) { Write({{"type", "error"}, {"error", ToJson(error)}}); }

}  // namespace millrace::encode
