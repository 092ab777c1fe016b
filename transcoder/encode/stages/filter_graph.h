#pragma once

#include <string>

#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// A chain of libavfilter's filters with one way in and one way out. One thread uses it.
class FilterGraph {
 public:
  // Builds a chain for frames like `first`, whose timestamps are in `time_base`. `description` is
  // in libavfilter's own language and must not be empty. Throws Error{kEncodeFailed}, stage
  // "filter".
  static FilterGraph ForVideo(const AVFrame& first, AVRational time_base,
                              const std::string& description);
  static FilterGraph ForAudio(const AVFrame& first, AVRational time_base,
                              const std::string& description);

  // Null flushes: afterwards Pull returns the frames held back, then null. The output ends where
  // the last frame does, so the frame's duration must be in the time base of its `pts`.
  void Push(FramePtr frame);
  // Null if there is nothing (yet).
  FramePtr Pull();
  // The time base of the frames that come out.
  AVRational time_base() const;
  // Sound comes out in frames of this many samples; the last one may be shorter.
  void SetFrameSize(int samples);

 private:
  FilterGraph(const char* source, const std::string& source_arguments, const char* sink,
              const std::string& description);

  GraphPtr graph_;
  AVFilterContext* source_ = nullptr;  // both owned by graph_
  AVFilterContext* sink_ = nullptr;
  int64_t end_pts_ = AV_NOPTS_VALUE;  // of the last frame that went in
};

}  // namespace millrace::encode
