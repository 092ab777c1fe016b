#include "core/media/media_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/unique_fd.h"
#include "tests/fakes/temp_dir.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class MediaStoreTest : public ::testing::Test {
 protected:
  MediaStoreTest() { fs::create_directories(library_); }

  Upload PutUpload(std::string_view content, std::string_view name = "a.mp4") {
    const auto writer = store_->BeginUpload(name);
    writer->Write({content.data(), content.size()});
    return writer->Commit();
  }

  // Makes a finished attempt with one file in its work folder.
  Manifest Finish(const std::string& task, Fence fence, const std::string& content,
                  const std::string& path = "web.mp4") {
    const fs::path folder = store_->CreateWork(task, fence);
    fs::create_directories((folder / "out" / path).parent_path());
    std::ofstream(folder / "out" / path) << content;
    std::ofstream(folder / "log.txt") << "a line of the log\n";
    Manifest manifest;
    manifest.files.push_back({.output = "web",
                              .path = path,
                              .bytes = static_cast<int64_t>(content.size()),
                              .sha256 = "",
                              .media_type = "video/mp4",
                              .duration_seconds = {},
                              .video = {},
                              .audio = {}});
    return manifest;
  }

  size_t EntriesIn(const char* folder) {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_.path() / folder), fs::directory_iterator()));
  }

  TempDir dir_;
  fs::path library_ = dir_.path() / "library";
  std::unique_ptr<MediaStore> store_ = [this] {
    fs::create_directories(library_);
    return OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = library_});
  }();
};

TEST_F(MediaStoreTest, KeepsAnUploadWithItsFacts) {
  const Upload upload = PutUpload("hello", "holiday & sun.mp4");
  EXPECT_EQ(upload.bytes, 5);
  EXPECT_EQ(upload.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  const auto found = store_->FindUpload(upload.id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->name, "holiday & sun.mp4");
  EXPECT_EQ(found->sha256, upload.sha256);
  EXPECT_EQ(ReadWholeFile(store_->Resolve({.upload = upload.id, .path = ""})), "hello");
}

TEST_F(MediaStoreTest, RemovesAnUploadThatWasNotCommitted) {
  store_->BeginUpload("a.mp4")->Write({"half", 4});
  EXPECT_EQ(EntriesIn("uploads"), 0U);
}

TEST_F(MediaStoreTest, FindsNoUploadBehindAPath) {
  EXPECT_EQ(store_->FindUpload("../uploads"), std::nullopt);
  EXPECT_EQ(store_->FindUpload(NewUploadId()), std::nullopt);
  EXPECT_THROW(store_->Resolve({.upload = NewUploadId(), .path = ""}), Error);
}

TEST_F(MediaStoreTest, ResolvesOnlyPathsInsideTheLibrary) {
  std::ofstream(library_ / "in.mov") << "x";
  std::ofstream(dir_.path() / "secret") << "x";
  fs::create_symlink(dir_.path() / "secret", library_ / "link");
  EXPECT_EQ(store_->Resolve({.upload = "", .path = "in.mov"}), fs::canonical(library_ / "in.mov"));
  for (const char* path : {"../secret", "/etc/passwd", "link", "missing", ".", ""}) {
    EXPECT_THROW(store_->Resolve({.upload = "", .path = path}), Error) << path;
  }
}

TEST_F(MediaStoreTest, RefusesPathsWithoutALibrary) {
  const TempDir other;
  const auto store = OpenFolderMediaStore({.data_dir = other.path(), .library_dir = {}});
  EXPECT_THROW(store->Resolve({.upload = "", .path = "in.mov"}), Error);
}

TEST_F(MediaStoreTest, PublishesAnAttemptByMovingItsFilesUnderItsFence) {
  const std::string job = NewJobId();
  const Manifest manifest = Finish("tsk_1", 7, "movie");
  EXPECT_EQ(store_->FindOutput(job, 7, "web.mp4"), std::nullopt);
  ASSERT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty());
  EXPECT_EQ(ReadWholeFile(store_->FindOutput(job, 7, "web.mp4").value()), "movie");
  EXPECT_EQ(EntriesIn("work"), 0U);
}

TEST_F(MediaStoreTest, CompletesAPublishingThatWasInterruptedAnywhere) {
  const std::string job = NewJobId();
  const Manifest manifest = Finish("tsk_1", 7, "movie");
  ASSERT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty());
  EXPECT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty()) << "after the rename";
  store_->CreateWork("tsk_1", 7);
  EXPECT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty())
      << "with the work folder still there";
  EXPECT_EQ(ReadWholeFile(store_->FindOutput(job, 7, "web.mp4").value()), "movie");
}

// Drops root's privileges for its lifetime, so that file permissions apply.
class NotRoot {
 public:
  NotRoot() {
    if (is_root_) {
      EXPECT_EQ(seteuid(kNobody), 0);
    }
  }
  ~NotRoot() {
    if (is_root_) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }

 private:
  static constexpr uid_t kNobody = 65534;
  const bool is_root_ = geteuid() == 0;
};

TEST_F(MediaStoreTest, SyncsFilesThatAnEarlierTryHasMoved) {
  const std::string job = NewJobId();
  const Manifest manifest = Finish("tsk_1", 7, "movie");
  ASSERT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty());
  // What is in it can be reached, but it cannot be opened, and so not be synced.
  const fs::path folder = dir_.path() / "outputs" / job;
  fs::permissions(dir_.path(), fs::perms(0711));
  fs::permissions(folder, fs::perms(0311));
  {
    const NotRoot bound;
    try {
      store_->Publish(job, {{"tsk_1", 7, manifest}});
      ADD_FAILURE() << "it may lose its place again";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kStorageError);
      EXPECT_NE(std::string(error.what()).find(job), std::string::npos) << error.what();
    }
  }
  fs::permissions(folder, fs::perms(0755));
  EXPECT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), IsEmpty());
}

TEST_F(MediaStoreTest, DoesNotPublishFilesThatAreMissingOrShort) {
  const std::string job = NewJobId();
  Manifest manifest = Finish("tsk_1", 7, "movie");
  manifest.files[0].bytes = 6;
  EXPECT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), ElementsAre("tsk_1"));
  store_->DiscardWork("tsk_1", 7);
  manifest.files[0].bytes = 5;
  EXPECT_THAT(store_->Publish(job, {{"tsk_1", 7, manifest}}), ElementsAre("tsk_1"));
  EXPECT_EQ(store_->FindOutput(job, 7, "web.mp4"), std::nullopt);
}

// A job of two tasks.
class PublishTogetherTest : public MediaStoreTest {
 protected:
  void ExpectPublished() {
    EXPECT_EQ(ReadWholeFile(store_->FindOutput(job_, 9, "web.mp4").value()), "movie");
    EXPECT_EQ(ReadWholeFile(store_->FindOutput(job_, 9, "sound/podcast.m4a").value()), "song");
    EXPECT_EQ(EntriesIn("work"), 0U);
    EXPECT_EQ(EntriesIn("outputs"), 1U) << "something was left beside the job's folder";
  }

  // Moves the file as a process did that died before it could move the next.
  void LeaveGathered(const std::string& task_folder, const std::string& path) {
    const fs::path place = dir_.path() / "outputs" / (".partial-" + job_ + ".9") / path;
    fs::create_directories(place.parent_path());
    fs::rename(dir_.path() / "work" / task_folder / "out" / path, place);
  }

  const std::string job_ = NewJobId();
  std::vector<TaskOutputs> made_ = {
      {.task = "tsk_1", .fence = 9, .manifest = Finish("tsk_1", 9, "movie")},
      {.task = "tsk_2", .fence = 8, .manifest = Finish("tsk_2", 8, "song", "sound/podcast.m4a")}};
};

TEST_F(PublishTogetherTest, MovesTheFilesOfAllTasksUnderTheLargestFence) {
  EXPECT_EQ(PublishedFence(made_), 9);
  ASSERT_THAT(store_->Publish(job_, made_), IsEmpty());
  ExpectPublished();
  EXPECT_THAT(store_->Publish(job_, made_), IsEmpty()) << "repeated";
  ExpectPublished();
}

TEST_F(PublishTogetherTest, CompletesWhatWasInterruptedAfterTheFirstFile) {
  LeaveGathered("tsk_1.9", "web.mp4");
  ASSERT_THAT(store_->Publish(job_, made_), IsEmpty());
  ExpectPublished();
}

TEST_F(PublishTogetherTest, CompletesWhatWasInterruptedAfterTheLastFile) {
  LeaveGathered("tsk_1.9", "web.mp4");
  LeaveGathered("tsk_2.8", "sound/podcast.m4a");
  ASSERT_THAT(store_->Publish(job_, made_), IsEmpty());
  ExpectPublished();
}

TEST_F(PublishTogetherTest, NamesTheTaskWhoseFilesAreGoneAndLeavesTheOthersWhereTheyAre) {
  store_->DiscardWork("tsk_2", 8);
  EXPECT_THAT(store_->Publish(job_, made_), ElementsAre("tsk_2"));
  EXPECT_EQ(store_->FindOutput(job_, 9, "web.mp4"), std::nullopt);
  // The task runs again, under another fence.
  made_[1] = {.task = "tsk_2", .fence = 10, .manifest = Finish("tsk_2", 10, "song", "song.m4a")};
  ASSERT_THAT(store_->Publish(job_, made_), IsEmpty());
  EXPECT_TRUE(store_->FindOutput(job_, 10, "web.mp4").has_value());
  EXPECT_TRUE(store_->FindOutput(job_, 10, "song.m4a").has_value());
}

TEST_F(PublishTogetherTest, NamesAllTasksWhoseFilesWereHalfMovedWhenOthersGotLost) {
  LeaveGathered("tsk_1.9", "web.mp4");
  store_->DiscardWork("tsk_2", 8);
  EXPECT_THAT(store_->Publish(job_, made_), ElementsAre("tsk_1", "tsk_2"));
  EXPECT_EQ(EntriesIn("outputs"), 0U);
}

TEST_F(MediaStoreTest, NeverServesAFileOutsideTheOutputs) {
  const std::string job = NewJobId();
  ASSERT_THAT(store_->Publish(job, {{"tsk_1", 7, Finish("tsk_1", 7, "movie")}}), IsEmpty());
  for (const char* path : {"../7/../../../library", "..", "", "/etc/passwd", "web.mp4/x"}) {
    EXPECT_EQ(store_->FindOutput(job, 7, path), std::nullopt) << path;
  }
  EXPECT_EQ(store_->FindOutput("../outputs", 7, "web.mp4"), std::nullopt);
}

TEST_F(MediaStoreTest, EmptiesAnExistingWorkFolder) {
  Finish("tsk_1", 7, "old");
  const fs::path folder = store_->CreateWork("tsk_1", 7);
  EXPECT_TRUE(fs::is_empty(folder / "out"));
}

TEST_F(MediaStoreTest, WritesReportLogsAndInputOfADeadJob) {
  const std::string job = NewJobId();
  const Upload upload = PutUpload("bad media");
  Finish("tsk_1", 7, "half");
  const fs::path folder = store_->WriteDeadLetter({.job_id = job,
                                                   .report = {{"version", 1}},
                                                   .input = {.upload = upload.id, .path = ""},
                                                   .attempts = {{"tsk_1", 7}}});
  EXPECT_EQ(folder, store_->DeadLetterFolder(job));
  EXPECT_EQ(ReadWholeFile(folder / "input"), "bad media");
  EXPECT_EQ(ReadWholeFile(folder / "log-7.txt"), "a line of the log\n");
  const auto report = nlohmann::json::parse(ReadWholeFile(folder / "report.json"));
  EXPECT_EQ(report["version"], 1);
  EXPECT_EQ(report["input"]["file"], "input");
}

TEST_F(MediaStoreTest, WritesADeadLetterAgainAfterACrash) {
  Finish("tsk_1", 7, "half");
  const DeadLetter letter{
      .job_id = NewJobId(), .report = {{"version", 1}}, .input = {}, .attempts = {{"tsk_1", 7}}};
  store_->WriteDeadLetter(letter);
  fs::create_directories(dir_.path() / "dead-letter" / (".partial-" + letter.job_id) / "junk");
  store_->WriteDeadLetter(letter);
  EXPECT_EQ(EntriesIn("dead-letter"), 1U);
  EXPECT_TRUE(fs::exists(store_->DeadLetterFolder(letter.job_id) / "log-7.txt"));
}

TEST(Files, NameTheFileThatCannotBeWritten) {
  try {
    CreateFile("/nonexistent-folder/file");
    FAIL() << "created";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
    EXPECT_NE(std::string(error.what()).find("/nonexistent-folder/file"), std::string::npos);
  }
}

TEST(Files, TellAFullDiskFromOtherErrors) {
  const UniqueFd full = [] { return UniqueFd(CreateFile("/dev/full")); }();
  try {
    WriteAll(full.get(), {"x", 1}, "/dev/full");
    FAIL() << "written";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageFull);
  }
}

}  // namespace
}  // namespace millrace
