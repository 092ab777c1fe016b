#include "transcoder/encode/pipeline.h"

#include <algorithm>
#include <limits>

#include "transcoder/encode/stages/audio_stage.h"
#include "transcoder/encode/stages/rehearsal.h"
#include "transcoder/encode/stages/video_stage.h"

namespace millrace::encode {
namespace {

// Pictures are large: a few even out the speed of the stages, more would only cost memory.
constexpr size_t kFrameQueueLength = 4;
constexpr size_t kPacketQueueLength = 64;

bool IsInterlaced(const AVStream& stream) {
  switch (stream.codecpar->field_order) {
    case AV_FIELD_TT:
    case AV_FIELD_BB:
    case AV_FIELD_TB:
    case AV_FIELD_BT:
      return true;
    default:
      return false;
  }
}

// The cost of one second of an output relative to other outputs; used for the percentage only.
double CostOf(const OutputSpec& output) {
  if (!output.video) return 1;
  const VideoCodecTraits& codec = TraitsOf(output.video->codec);
  const double height = output.video->height_px.value_or(1080) / 1080.0;
  return codec.cost + codec.hd_cost * height * height;
}

bool CopiesOnly(const OutputSpec& output) {
  return (!output.video || output.video->codec == VideoCodec::kCopy) &&
         (!output.audio || output.audio->codec == AudioCodec::kCopy);
}

}  // namespace

Pipeline::Pipeline(InputFile& input, const Plan& plan, const Options& options)
    : input_(input), plan_(plan), options_(options) {
  threads_.OnFailure([this] { input_.Interrupt(); });
  for (const int stream : plan_.UsedStreams()) {
    stream_tallies_[stream] = std::make_unique<StreamTally>();
  }
  for (const int stream : plan_.DecodedStreams()) {
    decodings_[stream].in = std::make_unique<PacketQueue>(kPacketQueueLength);
  }
  for (const FilePlan& file : plan_.files) AddFile(file);
  for (const ThumbnailPlan& each : plan_.thumbnails) AddThumbnails(each);
  for (const auto& [stream, decoding] : decodings_) AddDecoder(stream);
  AddDemuxer();
}

Pipeline::~Pipeline() = default;

FrameQueue& Pipeline::NewFrameQueue() {
  FrameQueue& queue = frame_queues_.emplace_back(kFrameQueueLength);
  threads_.OnFailure([&queue] { queue.Stop(); });
  return queue;
}

PictureOptions Pipeline::PictureOptionsOf(int index) const {
  AVStream* stream = input_.format().streams[index];
  return {.max_width_px = {},
          .max_height_px = {},
          .fps = {},
          .orientation = OrientationOf(*stream),
          .sample_aspect_ratio = av_guess_sample_aspect_ratio(&input_.format(), stream, nullptr),
          .interlaced = IsInterlaced(*stream),
          .keep_depth = false,
          .still_format = AV_PIX_FMT_NONE};
}

int64_t Pipeline::ReservedIndexBytes(const FilePlan& plan) const {
  constexpr int64_t kWorthwhile = 16 << 20;
  if (!TraitsOf(*plan.spec->container).is_mov || !CopiesOnly(*plan.spec) ||
      plan_.time.trimmed_start || plan_.time.clip)
    return 0;
  // Rewriting a small file costs less than reserving room for its index.
  if (input_.io().size() < kWorthwhile) return 0;
  int64_t bytes = LargestIndexBytes(input_.format());
  for (const std::optional<int>& stream : {plan.video_stream, plan.audio_stream}) {
    if (!stream) continue;
    const int64_t frames = input_.IndexedFrames(*stream);
    if (frames == 0) return 0;
    bytes += LargestIndexBytes(input_.stream(*stream), frames);
  }
  return input_.format().nb_chapters > 0 ? 0 : bytes;
}

MuxOptions Pipeline::MuxOptionsOf(const FilePlan& plan) const {
  MuxOptions options{.container = *plan.spec->container,
                     .path = {},
                     .reserved_index_bytes = 0,
                     .input = &input_.format(),
                     .input_streams = {},
                     .chapters = false};
  options.path = options_.output_dir + "/" + plan.spec->name + "." +
                 std::string(NameOf(*plan.spec->container));
  options.reserved_index_bytes = ReservedIndexBytes(plan);
  options.chapters =
      !plan_.time.trimmed_start && !plan_.time.clip && TraitsOf(*plan.spec->container).has_chapters;
  if (plan.video_stream) options.input_streams.push_back(&input_.stream(*plan.video_stream));
  if (plan.audio_stream) options.input_streams.push_back(&input_.stream(*plan.audio_stream));
  return options;
}

// Predicts the head of a copy whose index stands in front, so that the file can be hashed while it
// is written.
ForeseeHead Pipeline::ForeseeHeadOf(const FilePlan& plan, const MuxOptions& options) const {
  // Limits memory, as two more indexes are held meanwhile; this one covers about seven hours.
  constexpr int64_t kLargestIndex = 64 << 20;
  if (options.reserved_index_bytes == 0 || options.reserved_index_bytes > kLargestIndex) return {};
  std::vector<CopiedTrack> tracks;
  for (const std::optional<int>& stream : {plan.video_stream, plan.audio_stream}) {
    if (stream) {
      tracks.push_back({.stream = *stream, .format = CopyRoute::FormatOf(input_.stream(*stream))});
    }
  }
  auto rehearsal = std::make_shared<Rehearsal>(input_, plan_.time, options, std::move(tracks));
  return [rehearsal](const std::stop_token& stop) { return rehearsal->Run(stop); };
}

void Pipeline::AddFile(const FilePlan& plan) {
  FileResult& file = files_.emplace_back();
  file.plan = &plan;
  size_t tracks = 0;
  if (plan.video_stream) file.video_track = static_cast<int>(tracks++);
  if (plan.audio_stream) file.audio_track = static_cast<int>(tracks++);
  file.tally = std::make_unique<FileTally>(tracks);

  MuxQueue& queue = mux_queues_.emplace_back(kPacketQueueLength);
  threads_.OnFailure([&queue] { queue.Stop(); });
  MuxOptions options = MuxOptionsOf(plan);
  options.foresee_head = ForeseeHeadOf(plan, options);
  file.head_is_foreseen = static_cast<bool>(options.foresee_head);
  auto mux = std::make_shared<MuxStage>(std::move(options), *file.tally);
  threads_.Add(
      {.name = "mux", .stream = -1, .codec = {}, .run = [mux, &queue] { mux->Run(queue); }});
  if (plan.video_stream) {
    file.tally->tracks[static_cast<size_t>(file.video_track)].is_video = true;
    AddVideo(file, static_cast<size_t>(file.video_track), queue);
  }
  if (plan.audio_stream) AddAudio(file, static_cast<size_t>(file.audio_track), queue);
}

void Pipeline::AddCopy(int index, size_t track, MuxQueue& mux) {
  const AVStream& stream = input_.stream(index);
  auto route = std::make_shared<CopyRoute>(
      stream, plan_.time, track, [&mux](MuxItem item) { return mux.Push(std::move(item)); });
  // Does not wait, as the queue is empty.
  mux.Push({.track = track, .format = CopyRoute::FormatOf(stream), .packet = nullptr});
  routes_[index].emplace_back([route](PacketPtr packet) { return route->Take(std::move(packet)); });
}

void Pipeline::AddVideo(FileResult& file, size_t track, MuxQueue& mux) {
  const int index = *file.plan->video_stream;
  const VideoSpec& spec = *file.plan->spec->video;
  if (spec.codec == VideoCodec::kCopy) {
    AddCopy(index, track, mux);
    return;
  }
  PictureOptions picture = PictureOptionsOf(index);
  picture.max_width_px = spec.width_px;
  picture.max_height_px = spec.height_px;
  picture.fps = spec.fps;
  picture.keep_depth = TraitsOf(spec.codec).keeps_depth;
  FrameQueue& decoded = NewFrameQueue();
  FrameQueue& filtered = NewFrameQueue();
  decodings_[index].out.emplace_back(
      [&decoded](FramePtr frame) { return decoded.Push(std::move(frame)); });
  auto filter = std::make_shared<VideoStage>(
      picture, decoded, [&filtered](FramePtr frame) { return filtered.Push(std::move(frame)); },
      file.tone_mapped);
  const AVStream& stream = input_.stream(index);
  const AVRational rate =
      spec.fps ? av_d2q(*spec.fps, 100'000)
               : av_guess_frame_rate(&input_.format(), input_.format().streams[index], nullptr);
  const VideoEncoderOptions options{
      .spec = spec,
      .time_base = FineTimeBase(stream.time_base, spec.fps),
      .frame_rate = av_cmp_q(rate, {300, 1}) > 0 ? stream.avg_frame_rate : rate,
      .threads = options_.threads,
      .global_header = true};
  auto encode = std::make_shared<EncodeStage>(
      options, track, filtered, [&mux](MuxItem item) { return mux.Push(std::move(item)); },
      file.video);
  threads_.Add({.name = "filter", .stream = index, .codec = CodecOf(index), .run = [filter] {
                  filter->Run();
                }});
  threads_.Add({.name = "encode",
                .stream = index,
                .codec = std::string(NameOf(spec.codec)),
                .run = [encode] { encode->Run(); }});
}

void Pipeline::AddAudio(FileResult& file, size_t track, MuxQueue& mux) {
  const int index = *file.plan->audio_stream;
  const AudioSpec& spec = *file.plan->spec->audio;
  if (spec.codec == AudioCodec::kCopy) {
    AddCopy(index, track, mux);
    return;
  }
  FrameQueue& decoded = NewFrameQueue();
  FrameQueue& filtered = NewFrameQueue();
  decodings_[index].out.emplace_back(
      [&decoded](FramePtr frame) { return decoded.Push(std::move(frame)); });
  auto filter = std::make_shared<AudioStage>(
      spec, decoded, [&filtered](FramePtr frame) { return filtered.Push(std::move(frame)); });
  auto encode = std::make_shared<EncodeStage>(
      AudioEncoderOptions{.spec = spec, .global_header = true}, track, filtered,
      [&mux](MuxItem item) { return mux.Push(std::move(item)); }, file.audio);
  threads_.Add({.name = "filter", .stream = index, .codec = CodecOf(index), .run = [filter] {
                  filter->Run();
                }});
  threads_.Add({.name = "encode",
                .stream = index,
                .codec = std::string(NameOf(spec.codec)),
                .run = [encode] { encode->Run(); }});
}

void Pipeline::AddThumbnails(const ThumbnailPlan& plan) {
  ThumbnailResult& result = thumbnails_.emplace_back();
  result.plan = &plan;
  FrameQueue& decoded = NewFrameQueue();
  decodings_[plan.stream].out.emplace_back(
      [&decoded](FramePtr frame) { return decoded.Push(std::move(frame)); });
  auto stage =
      std::make_shared<ThumbnailStage>(ThumbnailOptions{.spec = *plan.spec->thumbnails,
                                                        .directory = options_.output_dir,
                                                        .name = plan.spec->name,
                                                        .planned_seconds = plan_.header_seconds,
                                                        .picture = PictureOptionsOf(plan.stream),
                                                        .cover_art = plan.cover_art},
                                       decoded, result.tally);
  threads_.Add({.name = "encode",
                .stream = plan.stream,
                .codec = TraitsOf(plan.spec->thumbnails->format).encoder,
                .run = [stage] { stage->Run(); }});
}

void Pipeline::AddDecoder(int index) {
  Decoding& decoding = decodings_.at(index);
  PacketQueue& in = *decoding.in;
  threads_.OnFailure([&in] { in.Stop(); });
  AVStream* stream = input_.format().streams[index];
  std::shared_ptr<DecodeStage> stage;
  try {
    stage = std::make_shared<DecodeStage>(*stream,
                                          av_guess_frame_rate(&input_.format(), stream, nullptr),
                                          DecodeOptions{.time = plan_.time,
                                                        .threads = options_.threads,
                                                        .max_pixels = input_.limits().max_pixels,
                                                        .cover_art = IsAttachedPicture(*stream)},
                                          in, decoding.out, *stream_tallies_.at(index));
  } catch (const Error& error) {
    throw WithPlace(
        error, {.stage = "decode", .stream = index, .codec = CodecOf(index), .pts_seconds = {}});
  }
  routes_[index].emplace_back([&in](PacketPtr packet) { return in.Push(std::move(packet)); });
  threads_.Add({.name = "decode", .stream = index, .codec = CodecOf(index), .run = [stage] {
                  stage->Run();
                }});
}

void Pipeline::AddDemuxer() {
  std::vector<DemuxStage::Route> routes;
  for (auto& [stream, sinks] : routes_) {
    routes.push_back(
        {.stream = stream, .sinks = std::move(sinks), .tally = stream_tallies_.at(stream).get()});
  }
  auto stage = std::make_shared<DemuxStage>(input_, plan_.time, std::move(routes), input_tally_);
  threads_.Add({.name = "demux", .stream = -1, .codec = {}, .run = [stage] { stage->Run(); }});
}

std::optional<double> Pipeline::ReachedSeconds(int stream) const {
  const auto tally = stream_tallies_.find(stream);
  if (tally == stream_tallies_.end()) return std::nullopt;
  const int64_t end_us = tally->second->end_us.load();
  if (end_us == std::numeric_limits<int64_t>::min()) return std::nullopt;
  return ToSeconds(end_us + plan_.time.origin, kMicroseconds);
}

void Pipeline::Run(const Watch& watch) {
  threads_.Run([this](int stream) { return ReachedSeconds(stream); }, [&] { watch(Observe()); });
  watch(Observe());
}

ProgressEstimator::Observation Pipeline::Observe() const {
  ProgressEstimator::Observation seen{.phase = "transcoding"};
  seen.demuxed_seconds = ToSeconds(input_tally_.demuxed_us.load(), kMicroseconds);
  seen.demuxed_bytes = input_.io().position();
  seen.demux_finished = input_tally_.finished.load();
  bool finalizing = true;
  for (const FileResult& file : files_) {
    const bool made = file.tally->made.load();
    finalizing = finalizing && file.tally->finalizing.load();
    seen.outputs.push_back({.seconds = ToSeconds(file.tally->end_us.load(), kMicroseconds),
                            .finalized = made                            ? 0.6
                                         : file.tally->finalizing.load() ? 0.01
                                                                         : 0});
    int64_t frames = file.video.frames_out.load();
    if (frames == 0 && file.video_track >= 0) {
      frames = file.tally->tracks[static_cast<size_t>(file.video_track)].packets.load();
    }
    seen.frames = std::max(seen.frames, frames);
  }
  for (const ThumbnailResult& each : thumbnails_) {
    seen.outputs.push_back(
        {.seconds = ToSeconds(each.tally.reached_us.load(), kMicroseconds), .finalized = 0});
    finalizing = false;
  }
  if (finalizing) seen.phase = "finalizing";
  return seen;
}

std::vector<ProgressEstimator::Output> Pipeline::ProgressOutputs() const {
  std::vector<ProgressEstimator::Output> outputs;
  for (const FileResult& file : files_) {
    const OutputSpec& spec = *file.plan->spec;
    // A copy whose head is not predicted is read again at the end to hash it, and perhaps to move
    // its media.
    const double of_copy = file.head_is_foreseen ? 0.1 : 0.4;
    outputs.push_back({.name = spec.name,
                       .cost = CostOf(spec),
                       .finalize_share = CopiesOnly(spec) ? of_copy : 0.02});
  }
  for (const ThumbnailResult& each : thumbnails_) {
    outputs.push_back({.name = each.plan->spec->name, .cost = 1, .finalize_share = 0});
  }
  return outputs;
}

}  // namespace millrace::encode
