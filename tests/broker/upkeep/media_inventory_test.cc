#include "broker/upkeep/media_inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/files.h"
#include "core/base/id.h"
#include "core/media/media_store.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class MediaInventoryTest : public testing::Test {
 protected:
  std::string PutUpload() {
    const auto writer = store_->BeginUpload("a.mp4");
    writer->Write({"bytes", 5});
    return writer->Commit().id;
  }

  void MakeFolder(const std::string& path) {
    fs::create_directories(dir_.path() / path);
    std::ofstream(dir_.path() / path / "file") << "x";
  }
  bool Exists(const std::string& path) { return fs::exists(dir_.path() / path); }

  static WallTime In(std::chrono::hours time) { return SystemClock().WallNow() + time; }

  TempDir dir_;
  const std::unique_ptr<MediaStore> store_ =
      OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}});
  const MediaInventory inventory_{dir_.path()};
};

TEST_F(MediaInventoryTest, ListsWhatIsThere) {
  const std::string job = NewJobId();
  const std::string upload = PutUpload();
  store_->CreateWork("tsk_1", 7);
  MakeFolder("outputs/" + job + "/8");
  MakeFolder("outputs/" + job + "/12");
  MakeFolder("dead-letter/" + job);

  const auto work = inventory_.ListWork();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].task, "tsk_1");
  EXPECT_EQ(work[0].fence, 7);
  EXPECT_GT(work[0].changed_at, In(std::chrono::hours(-1)));
  EXPECT_LT(work[0].changed_at, In(std::chrono::hours(1)));
  EXPECT_THAT(inventory_.ListOutputs(),
              UnorderedElementsAre(Field(&MediaInventory::OutputFolder::fence, 8),
                                   Field(&MediaInventory::OutputFolder::fence, 12)));
  EXPECT_THAT(inventory_.ListDeadLetters(), ElementsAre(job));
  const auto uploads = inventory_.ListUploads();
  ASSERT_EQ(uploads.size(), 1U);
  EXPECT_EQ(uploads[0].id, upload);
  EXPECT_GT(uploads[0].created_at, In(std::chrono::hours(-1)));
}

TEST_F(MediaInventoryTest, LeavesOutWhatHasNoNameOfOurs) {
  for (const char* path : {"work/notes", "work/tsk_1.x", "work/.7", "outputs/holiday/1",
                           "dead-letter/README", "uploads/mine"}) {
    MakeFolder(path);
  }
  MakeFolder("outputs/" + NewJobId() + "/mine");
  EXPECT_THAT(inventory_.ListWork(), IsEmpty());
  EXPECT_THAT(inventory_.ListOutputs(), IsEmpty());
  EXPECT_THAT(inventory_.ListDeadLetters(), IsEmpty());
  EXPECT_THAT(inventory_.ListUploads(), IsEmpty());
  EXPECT_EQ(inventory_.SweepPartials(In(std::chrono::hours(1))), 0);
}

TEST_F(MediaInventoryTest, ListsNothingWhereThereAreNoFolders) {
  const MediaInventory nowhere(dir_.path() / "nowhere");
  EXPECT_THAT(nowhere.ListWork(), IsEmpty());
  EXPECT_THAT(nowhere.ListOutputs(), IsEmpty());
}

TEST_F(MediaInventoryTest, RemovesWhatItIsToldAndNothingBesides) {
  const std::string job = NewJobId();
  const std::string other = NewJobId();
  const std::string upload = PutUpload();
  const std::string other_upload = PutUpload();
  for (const std::string& id : {job, other}) {
    MakeFolder("outputs/" + id + "/8");
    MakeFolder("outputs/" + id + "/9");
    MakeFolder("dead-letter/" + id);
  }
  store_->CreateWork("tsk_1", 7);
  store_->CreateWork("tsk_1", 8);

  inventory_.RemoveWork("tsk_1", 7);
  inventory_.RemoveOutputs(other, 8);
  inventory_.RemoveOutputs(job);
  inventory_.RemoveDeadLetter(job);
  inventory_.RemoveUpload(upload);
  EXPECT_FALSE(Exists("work/tsk_1.7"));
  EXPECT_TRUE(Exists("work/tsk_1.8"));
  EXPECT_FALSE(Exists("outputs/" + job));
  EXPECT_FALSE(Exists("outputs/" + other + "/8"));
  EXPECT_TRUE(Exists("outputs/" + other + "/9"));
  EXPECT_FALSE(Exists("dead-letter/" + job));
  EXPECT_TRUE(Exists("dead-letter/" + other));
  EXPECT_EQ(store_->FindUpload(upload), std::nullopt);
  EXPECT_TRUE(store_->FindUpload(other_upload).has_value());

  inventory_.RemoveOutputs(other, 9);
  EXPECT_FALSE(Exists("outputs/" + other)) << "the last of its attempts";
  // Removing something that is already gone is no error.
  inventory_.RemoveOutputs(other, 9);
  inventory_.RemoveOutputs(job);
  inventory_.RemoveDeadLetter(job);
  inventory_.RemoveUpload(upload);
  inventory_.RemoveWork("tsk_1", 7);
}

TEST_F(MediaInventoryTest, FinishesRemovalsThatWereInterrupted) {
  const std::string job = NewJobId();
  MakeFolder("outputs/.partial-" + job + "/8");
  MakeFolder("outputs/" + job + "/9");
  inventory_.RemoveOutputs(job);
  EXPECT_FALSE(Exists("outputs/" + job));
  EXPECT_FALSE(Exists("outputs/.partial-" + job));
}

TEST_F(MediaInventoryTest, SweepsWhatWasNeverFinished) {
  MakeFolder("uploads/.partial-" + NewUploadId());
  MakeFolder("dead-letter/.partial-" + NewJobId());
  const std::string upload = PutUpload();
  EXPECT_EQ(inventory_.SweepPartials(In(std::chrono::hours(-24))), 0) << "still being written";
  EXPECT_EQ(inventory_.SweepPartials(In(std::chrono::hours(1))), 2);
  EXPECT_TRUE(fs::is_empty(dir_.path() / "dead-letter"));
  EXPECT_TRUE(store_->FindUpload(upload).has_value());
}

TEST_F(MediaInventoryTest, KnowsWhatTheDiskHasLeft) {
  EXPECT_GT(inventory_.FreeBytes(), 0);
  EXPECT_THROW(MediaInventory("/nonexistent").FreeBytes(), Error);
}

}  // namespace
}  // namespace millrace::broker
