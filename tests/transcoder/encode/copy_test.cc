// Hashing a file while it is written: the rehearsal that foresees its head, and the hash behind the
// writer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>
#include <thread>

#include "core/base/sha256.h"
#include "media-fixtures/process.h"
#include "tests/transcoder/encode/encode_task.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/pipeline.h"
#include "transcoder/encode/stages/copy_route.h"
#include "transcoder/encode/stages/demux_stage.h"
#include "transcoder/encode/stages/rehearsal.h"
#include "transcoder/encode/stages/trailing_hash.h"

namespace millrace::encode {
namespace {

using fixtures::FixturePath;

constexpr int64_t kMebibyte = 1 << 20;

FileHead ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Large enough for the index of its copies to stand in front: what follows the media is skipped.
std::filesystem::path Enlarged(const std::filesystem::path& folder, const std::string& name) {
  constexpr uint32_t kPadding = 17 << 20;
  std::filesystem::path path = folder / name;
  std::filesystem::copy_file(FixturePath(name), path);
  const auto size = std::filesystem::file_size(path);
  {
    std::ofstream file(path, std::ios::binary | std::ios::app);
    file << '\1' << '\x10' << '\0' << '\0' << "free";  // 17 MiB, big endian
    static_assert(kPadding == 0x01100000);
  }
  std::filesystem::resize_file(path, size + kPadding);
  return path;
}

// The offset of an MP4's media, and the room kept for its index.
struct Layout {
  size_t head_bytes = 0;
  int64_t index_bytes = 0;
};
Layout LayoutOf(const FileHead& file) {
  Layout layout;
  for (size_t at = 0; at + 8 <= file.size();) {
    uint32_t size = 0;
    for (size_t i = 0; i < 4; ++i) size = size << 8 | file[at + i];
    const std::string type(file.begin() + static_cast<ptrdiff_t>(at) + 4,
                           file.begin() + static_cast<ptrdiff_t>(at) + 8);
    if (type == "mdat") {
      layout.head_bytes = at + 8;
      return layout;
    }
    // The last one is eight bytes in front of the media, which a large size would need.
    if (type == "moov" || (type == "free" && size > 8)) layout.index_bytes += size;
    at += size;
  }
  ADD_FAILURE() << "not an MP4 with its index in front";
  return layout;
}

FileHead Rehearse(InputFile& input, const Plan& plan, int64_t index_bytes, std::stop_token stop) {
  std::vector<CopiedTrack> tracks;
  MuxOptions options{.container = Container::kMp4, .path = "out.mp4", .input = &input.format()};
  options.reserved_index_bytes = index_bytes;
  options.chapters = true;
  for (const auto& stream : {plan.files.front().video_stream, plan.files.front().audio_stream}) {
    if (!stream) continue;
    options.input_streams.push_back(&input.stream(*stream));
    tracks.push_back({.stream = *stream, .format = CopyRoute::FormatOf(input.stream(*stream))});
  }
  return Rehearsal(input, plan.time, std::move(options), std::move(tracks))
      .Run(stop)
      .value_or(FileHead());
}

OutputSpec Copy() {
  return MediaOutput(Container::kMp4, FastVideo(VideoCodec::kCopy),
                     AudioSpec{.codec = AudioCodec::kCopy});
}

class CopiedFixture : public testing::TestWithParam<const char*> {};

TEST_P(CopiedFixture, HasThePredictedHeadAndTheReportedHash) {
  const TempDir folder;
  const std::filesystem::path path = Enlarged(folder.path(), GetParam());
  TaskRunner runner;
  const Ended ended = runner.Run(path, {Copy()});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const OutputFile& made = *ended.Find("out");
  EXPECT_EQ(made.sha256, Sha256OfFile(runner.PathOf(made)));

  const FileHead file = ReadFile(runner.PathOf(made));
  const Layout layout = LayoutOf(file);
  ASSERT_LT(layout.head_bytes, file.size());
  InputFile input(path);
  EncodeSpec spec;
  spec.outputs = {Copy()};
  const Plan plan = MakePlan(input, spec);
  ForgetComplaints();
  const FileHead foreseen = Rehearse(input, plan, layout.index_bytes, {});
  EXPECT_TRUE(foreseen ==
              FileHead(file.begin(), file.begin() + static_cast<ptrdiff_t>(layout.head_bytes)));
  EXPECT_EQ(Complaints().last_error, "");
}

INSTANTIATE_TEST_SUITE_P(Encode, CopiedFixture,
                         testing::Values("av-sync.mp4", "mp4-hevc-aac.mp4", "edit-list.mp4",
                                         "vfr-h264.mp4", "rotated-90.mp4", "video-only-h264.mp4"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase_if(name, [](char each) {
                             return std::isalnum(static_cast<unsigned char>(each)) == 0;
                           });
                           return name;
                         });

// The checksums of all packets, as `ffmpeg -f framemd5` tells them without their times.
std::vector<std::string> PacketsOf(const std::filesystem::path& path) {
  const auto read = fixtures::RunProcess(
      {"ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f", "framemd5", "-"});
  EXPECT_EQ(read.exit_code, 0);
  std::vector<std::string> sums;
  std::istringstream lines(read.out);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) sums.push_back(line.substr(line.rfind(' ')));
  }
  return sums;
}

class CopiedFragments : public testing::TestWithParam<const char*> {};

// With a segment index (single-file DASH) the demuxer passes one fragment when it opens the file,
// and knows of no frame behind it. The second kind has the first frames in the index in front.
TEST_P(CopiedFragments, AreAllThere) {
  const TempDir folder;
  const std::filesystem::path path = folder.path() / "fragments.mp4";
  const auto made = fixtures::RunProcess(
      {"ffmpeg", "-v", "error", "-stream_loop", "70", "-i", FixturePath("long-gop-h264.mp4"), "-c",
       "copy", "-movflags", std::string("default_base_moof+global_sidx+") + GetParam(),
       "-frag_duration", "1000000", path});
  ASSERT_EQ(made.exit_code, 0);
  // Padding behind it would not do: the demuxer trusts an index that reaches the end of the file.
  ASSERT_GT(std::filesystem::file_size(path), 16U << 20);
  TaskRunner runner;
  const Ended ended = runner.Run(path, {Copy()});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const std::filesystem::path copy = runner.PathOf(*ended.Find("out"));
  const std::vector<std::string> packets = PacketsOf(copy);
  EXPECT_EQ(packets.size(), 71U * 250);
  EXPECT_TRUE(packets == PacketsOf(path));
}

INSTANTIATE_TEST_SUITE_P(Encode, CopiedFragments, testing::Values("empty_moov", "frag_keyframe"),
                         [](const auto& info) { return std::string(info.param); });

TEST(MuxStage, RewritesTheFileWhereItsIndexNeedsMoreRoom) {
  const TempDir folder;
  const std::string path = folder.path() / "out.mp4";
  InputFile input(FixturePath("long-gop-h264.mp4"));
  const Plan plan = [&] {
    EncodeSpec spec;
    spec.outputs = {Copy()};
    return MakePlan(input, spec);
  }();
  MuxOptions options{.container = Container::kMp4, .path = path, .input = &input.format()};
  options.reserved_index_bytes = 500;
  options.input_streams = {&input.stream(0)};
  FileTally tally(1);
  MuxStage mux(options, tally);
  MuxQueue queue(10'000);
  queue.Push({.track = 0, .format = CopyRoute::FormatOf(input.stream(0)), .packet = nullptr});
  CopyRoute route(input.stream(0), plan.time, 0,
                  [&](MuxItem item) { return queue.Push(std::move(item)); });
  std::vector<DemuxStage::Route> routes;
  StreamTally stream_tally;
  routes.push_back({.stream = 0,
                    .sinks = {[&](PacketPtr packet) { return route.Take(std::move(packet)); }},
                    .tally = &stream_tally});
  InputTally input_tally;
  DemuxStage(input, plan.time, std::move(routes), input_tally).Run();
  mux.Run(queue);
  EXPECT_TRUE(PacketsOf(path) == PacketsOf(FixturePath("long-gop-h264.mp4")));
  EXPECT_EQ(tally.sha256, Sha256OfFile(path));
  EXPECT_GT(LayoutOf(ReadFile(path)).index_bytes, 500);
}

bool IsForeseen(const std::filesystem::path& path) {
  const TempDir folder;
  InputFile input(path);
  EncodeSpec spec;
  spec.outputs = {Copy()};
  const Plan plan = MakePlan(input, spec);
  const Pipeline pipeline(input, plan, {.output_dir = folder.path(), .threads = 1});
  const bool foreseen = pipeline.files().front().head_is_foreseen;
  EXPECT_EQ(pipeline.ProgressOutputs().front().finalize_share, foreseen ? 0.1 : 0.4);
  return foreseen;
}

TEST(Pipeline, PredictsTheHeadOfALargeCopyWithAnIndex) {
  const TempDir folder;
  EXPECT_TRUE(IsForeseen(Enlarged(folder.path(), "av-sync.mp4")));
  EXPECT_FALSE(IsForeseen(Enlarged(folder.path(), "fragmented.mp4")));
  EXPECT_FALSE(IsForeseen(FixturePath("av-sync.mp4")));
}

TEST(Rehearsal, StopsWhenAsked) {
  InputFile input(FixturePath("av-sync.mp4"));
  EncodeSpec spec;
  spec.outputs = {Copy()};
  const Plan plan = MakePlan(input, spec);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(Rehearse(input, plan, kMebibyte, stop.get_token()).empty());
}

// Writes a file as a muxer does: the head last.
class GrowingFile {
 public:
  explicit GrowingFile(FileHead head) : head_(std::move(head)) {
    fd_.Reset(open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    size_ = std::ssize(head_);
  }
  std::string path() const { return folder_.path() / "file"; }
  int64_t size() const { return size_; }
  void Grow(int64_t bytes) {
    FileHead media(static_cast<size_t>(bytes));
    for (uint8_t& byte : media) byte = static_cast<uint8_t>(next_++ * 31 >> 3);
    Put(media, size_);
    size_ += bytes;
  }
  void WriteHead() { Put(head_, 0); }
  void Put(const FileHead& bytes, int64_t at) {
    ASSERT_EQ(pwrite(fd_.get(), bytes.data(), bytes.size(), at), std::ssize(bytes));
  }

 private:
  const TempDir folder_;
  const FileHead head_;
  UniqueFd fd_;
  int64_t size_ = 0;
  uint64_t next_ = 1;
};

ForeseeHead Foresee(FileHead head) {
  return [head = std::move(head)](const std::stop_token&) { return std::optional(head); };
}

const FileHead kHead(1000, 'h');

void ExpectRightHash(ForeseeHead foresee) {
  GrowingFile file(kHead);
  TrailingHash hash(file.path(), std::move(foresee));
  for (int i = 0; i < 10; ++i) {
    file.Grow(700'001);
    hash.Written(file.size());
  }
  file.WriteHead();
  hash.Complete(std::ssize(kHead));
  EXPECT_EQ(hash.Get(), Sha256OfFile(file.path()));
}

TEST(TrailingHash, FollowsTheWriter) {
  GrowingFile file(kHead);
  TrailingHash hash(file.path(), Foresee(kHead));
  file.Grow(8 * kMebibyte);
  hash.Written(file.size());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (hash.followed() < 8 * kMebibyte && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(hash.followed(), 8 * kMebibyte);
  file.Grow(700'001);
  file.WriteHead();
  hash.Complete(std::ssize(kHead));
  EXPECT_EQ(hash.Get(), Sha256OfFile(file.path()));
  EXPECT_EQ(hash.followed(), 8 * kMebibyte);
}

// Predicts the head only when asked to stop.
ForeseeHead ForeseeLate(const FileHead& head, std::atomic<bool>& stopped) {
  return [&, head](const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait(lock, stop, [] { return false; });
    stopped = stop.stop_requested();
    return std::optional(head);
  };
}

TEST(TrailingHash, WaitsForNoHeadOnceTheFileIsComplete) {
  GrowingFile file(kHead);
  std::atomic<bool> stopped{false};
  TrailingHash hash(file.path(), ForeseeLate(kHead, stopped));
  file.Grow(3 * kMebibyte);
  hash.Written(file.size());
  file.WriteHead();
  hash.Complete(std::ssize(kHead));
  EXPECT_EQ(hash.Get(), Sha256OfFile(file.path()));
  EXPECT_TRUE(stopped);
}

// A file of 64 GiB, nearly all of it a hole: to hash it takes more than half a minute.
TEST(TrailingHash, StopsInTheMiddle) {
  const auto begin = std::chrono::steady_clock::now();
  for (const bool foreseen : {true, false}) {
    GrowingFile file(kHead);
    file.WriteHead();
    std::filesystem::resize_file(file.path(), uintmax_t{1} << 36);
    TrailingHash hash(file.path(), foreseen ? Foresee(kHead) : ForeseeHead());
    hash.Complete(std::ssize(kHead));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(TrailingHash, StartsOverIfThePredictedHeadIsWrong) {
  FileHead other = kHead;
  other.back() = 'x';
  for (const FileHead& head : {other, FileHead(2000, 'h'), FileHead()}) {
    ExpectRightHash(Foresee(head));
  }
}

TEST(TrailingHash, HashesTheFinishedFileWithoutAPrediction) {
  ExpectRightHash({});
  ExpectRightHash([](const std::stop_token&) { return std::nullopt; });
}

TEST(TrailingHash, StartsOverIfMediaWereWrittenTwice) {
  GrowingFile file(kHead);
  TrailingHash hash(file.path(), Foresee(kHead));
  file.Grow(8 * kMebibyte);
  hash.Written(file.size());
  file.Put(FileHead(100, 'x'), 5000);
  file.WriteHead();
  hash.Complete(5100);
  EXPECT_EQ(hash.Get(), Sha256OfFile(file.path()));
}

TEST(TrailingHash, StopsWhenItsWriterIsDestroyed) {
  GrowingFile file(kHead);
  std::atomic<bool> stopped{false};
  {
    TrailingHash hash(file.path(), ForeseeLate(kHead, stopped));
    file.Grow(kMebibyte);
    hash.Written(file.size());
  }
  EXPECT_TRUE(stopped);
}

TEST(TrailingHash, ThrowsIfTheFileCannotBeRead) {
  TrailingHash hash("/nonexistent/file", Foresee(kHead));
  hash.Complete(0);
  try {
    hash.Get();
    FAIL() << "a file that does not exist has a hash";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
  }
}

}  // namespace
}  // namespace millrace::encode
