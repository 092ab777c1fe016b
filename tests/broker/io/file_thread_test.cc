#include "broker/io/file_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <future>
#include <memory>

namespace millrace::broker {
namespace {

using testing::ElementsAre;

bool IsReady(const FileThread& files, int milliseconds) {
  pollfd ready{.fd = files.ready_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, milliseconds) == 1;
}

TEST(FileThread, DoesItsWorkInOrderAndReportsOnTheCallersThread) {
  FileThread files;
  std::vector<int> worked;
  std::vector<int> done;
  const auto here = std::this_thread::get_id();
  bool elsewhere = false;
  for (const int i : {1, 2, 3}) {
    files.Post(
        [&, i](const std::stop_token&) {
          elsewhere = std::this_thread::get_id() != here;
          worked.push_back(i);
        },
        [&, i] {
          EXPECT_EQ(std::this_thread::get_id(), here);
          done.push_back(i);
        });
  }
  while (done.size() < 3) {
    ASSERT_TRUE(IsReady(files, 30'000));
    files.RunDone();
  }
  EXPECT_THAT(worked, ElementsAre(1, 2, 3));
  EXPECT_THAT(done, ElementsAre(1, 2, 3));
  EXPECT_TRUE(elsewhere);
  EXPECT_FALSE(IsReady(files, 0));
}

TEST(FileThread, BreaksOffWhatItDoesAndForgetsTheRestWhenItIsDestroyed) {
  auto files = std::make_unique<FileThread>();
  std::promise<void> begun;
  std::atomic<bool> stopped = false;
  std::atomic<bool> second = false;
  files->Post(
      [&](const std::stop_token& stop) {
        begun.set_value();
        while (!stop.stop_requested()) std::this_thread::yield();
        stopped = true;
      },
      {});
  files->Post([&](const std::stop_token&) { second = true; }, {});
  begun.get_future().wait();
  files.reset();
  EXPECT_TRUE(stopped);
  EXPECT_FALSE(second);
}

}  // namespace
}  // namespace millrace::broker
