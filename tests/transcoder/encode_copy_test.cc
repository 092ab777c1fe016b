// Hashing a file while it is written: the rehearsal that foresees its head, and the hash behind the
// writer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "tests/transcoder/encode_task.h"
#include "transcoder/encode/copy_route.h"
#include "transcoder/encode/ffmpeg_log.h"
#include "transcoder/encode/rehearsal.h"
#include "transcoder/encode/sha256.h"
#include "transcoder/encode/trailing_hash.h"

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

// Where the media of an MP4 begin, and how much room was kept for its index.
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

TEST_P(CopiedFixture, HasTheHeadThatWasForeseenAndTheHashThatIsTold) {
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
  EXPECT_EQ(Complaints().first_error, "");
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

TEST(Rehearsal, StopsWhenAsked) {
  InputFile input(FixturePath("av-sync.mp4"));
  EncodeSpec spec;
  spec.outputs = {Copy()};
  const Plan plan = MakePlan(input, spec);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(Rehearse(input, plan, kMebibyte, stop.get_token()).empty());
}

// A file that is written as a muxer does it: the head last.
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

TEST(TrailingHash, FollowsTheWriter) { ExpectRightHash(Foresee(kHead)); }

TEST(TrailingHash, BeginsAgainWhereTheHeadIsNotAsForeseen) {
  FileHead other = kHead;
  other.back() = 'x';
  for (const FileHead& head : {other, FileHead(2000, 'h'), FileHead()}) {
    ExpectRightHash(Foresee(head));
  }
}

TEST(TrailingHash, HashesTheFinishedFileWhereNothingIsForeseen) {
  ExpectRightHash({});
  ExpectRightHash([](const std::stop_token&) { return std::nullopt; });
}

TEST(TrailingHash, BeginsAgainWhereMediaWereWrittenTwice) {
  GrowingFile file(kHead);
  TrailingHash hash(file.path(), Foresee(kHead));
  file.Grow(8 * kMebibyte);
  hash.Written(file.size());
  file.Put(FileHead(100, 'x'), 5000);
  file.WriteHead();
  hash.Complete(5100);
  EXPECT_EQ(hash.Get(), Sha256OfFile(file.path()));
}

TEST(TrailingHash, EndsWithItsWriter) {
  GrowingFile file(kHead);
  bool stopped = false;
  {
    TrailingHash hash(file.path(), [&](const std::stop_token& stop) {
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any never;
      never.wait(lock, stop, [] { return false; });
      stopped = stop.stop_requested();
      return std::optional<FileHead>();
    });
    file.Grow(kMebibyte);
    hash.Written(file.size());
  }
  EXPECT_TRUE(stopped);
}

TEST(TrailingHash, TellsThatTheFileCannotBeRead) {
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
