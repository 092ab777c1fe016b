#include "transcoder/encode/stages/filter_graph.h"

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include <fmt/format.h>

#include <algorithm>

namespace millrace::encode {
namespace {

// Ends of the description that is being linked into a graph.
struct Ends {
  AVFilterInOut* outputs = avfilter_inout_alloc();
  AVFilterInOut* inputs = avfilter_inout_alloc();

  Ends() = default;
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  ~Ends() {
    avfilter_inout_free(&outputs);
    avfilter_inout_free(&inputs);
  }
};

void Fill(AVFilterInOut& end, const char* name, AVFilterContext* filter) {
  end.name = av_strdup(name);
  end.filter_ctx = filter;
  end.pad_idx = 0;
  end.next = nullptr;
}

}  // namespace

FilterGraph::FilterGraph(const char* source, const std::string& source_arguments, const char* sink,
                         const std::string& description)
    : graph_(MakeGraph()) {
  // Turns slice threads off: each graph has a thread already, and more would compete with the
  // encoders.
  graph_->nb_threads = 1;
  Check(avfilter_graph_create_filter(&source_, avfilter_get_by_name(source), "in",
                                     source_arguments.c_str(), nullptr, graph_.get()),
        "make the source of a filter graph");
  Check(avfilter_graph_create_filter(&sink_, avfilter_get_by_name(sink), "out", nullptr, nullptr,
                                     graph_.get()),
        "make the sink of a filter graph");
  Ends ends;
  if (ends.outputs == nullptr || ends.inputs == nullptr) Check(AVERROR(ENOMEM), "make a graph");
  Fill(*ends.outputs, "in", source_);
  Fill(*ends.inputs, "out", sink_);
  Check(avfilter_graph_parse_ptr(graph_.get(), description.c_str(), &ends.inputs, &ends.outputs,
                                 nullptr),
        "make the filter graph " + description);
  Check(avfilter_graph_config(graph_.get(), nullptr), "configure the filter graph " + description);
}

FilterGraph FilterGraph::ForVideo(const AVFrame& first, AVRational time_base,
                                  const std::string& description) {
  AVRational aspect = first.sample_aspect_ratio;
  if (aspect.num <= 0 || aspect.den <= 0) aspect = {1, 1};
  std::string source =
      fmt::format("video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}", first.width,
                  first.height, first.format, time_base.num, time_base.den, aspect.num, aspect.den);
  if constexpr (kFiltersNegotiateColours) {
    source += fmt::format(":colorspace={}:range={}", static_cast<int>(first.colorspace),
                          static_cast<int>(first.color_range));
  }
  return FilterGraph("buffer", source, "buffersink", description);
}

FilterGraph FilterGraph::ForAudio(const AVFrame& first, AVRational time_base,
                                  const std::string& description) {
  return FilterGraph("abuffer",
                     fmt::format("time_base={}/{}:sample_rate={}:sample_fmt={}:channel_layout={}",
                                 time_base.num, time_base.den, first.sample_rate,
                                 av_get_sample_fmt_name(static_cast<AVSampleFormat>(first.format)),
                                 ChannelLayout(first.ch_layout).Name()),
                     "abuffersink", description);
}

void FilterGraph::Push(FramePtr frame) {
  if (!frame) {
    // Passes the end time on; without it the fps filter drops the last frame.
    Check(av_buffersrc_close(source_, end_pts_, 0), "end a filter graph");
    return;
  }
  end_pts_ = frame->pts + std::max<int64_t>(DurationOf(*frame), 0);
  Check(av_buffersrc_add_frame_flags(source_, frame.get(), 0), "filter a frame");
}

FramePtr FilterGraph::Pull() {
  FramePtr frame = MakeFrame();
  const int rc = av_buffersink_get_frame(sink_, frame.get());
  if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) return nullptr;
  Check(rc, "filter a frame");
  return frame;
}

AVRational FilterGraph::time_base() const { return av_buffersink_get_time_base(sink_); }

void FilterGraph::SetFrameSize(int samples) {
  av_buffersink_set_frame_size(sink_, static_cast<unsigned>(samples));
}

}  // namespace millrace::encode
