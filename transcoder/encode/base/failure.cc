#include "transcoder/encode/base/failure.h"

#include "transcoder/encode/base/ffmpeg_log.h"

namespace millrace::encode {

Error WithPlace(const Error& error, const FailurePlace& place) {
  if (!error.fields().empty()) return error;  // of the task document, which is told apart
  nlohmann::json context = error.context();
  auto add = [&context](const char* key, const nlohmann::json& value) {
    if (!context.contains(key)) context[key] = value;
  };
  add("stage", place.stage);
  // If the thrower named another stream, our codec and time do not apply to it.
  const bool same_stream = !context.contains("stream") || context["stream"] == place.stream;
  if (place.stream >= 0) add("stream", place.stream);
  if (same_stream && !place.codec.empty()) add("codec", place.codec);
  if (same_stream && place.pts_seconds) add("pts_seconds", *place.pts_seconds);
  if (const std::string said = Complaints().last_error; !said.empty()) add("ffmpeg", said);
  return Error(error.code(), error.what(), std::move(context));
}

}  // namespace millrace::encode
