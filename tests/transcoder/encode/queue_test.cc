#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "transcoder/encode/base/bounded_queue.h"

namespace millrace::encode {
namespace {

TEST(BoundedQueue, GivesItemsInTheOrderTheyCame) {
  BoundedQueue<int> queue(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.Push(i));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.Pop(), i);
}

TEST(BoundedQueue, MakesAPusherWaitWhileItIsFull) {
  BoundedQueue<int> queue(1);
  std::atomic<int> pushed{0};
  ASSERT_TRUE(queue.Push(0));
  std::thread pusher([&] {
    for (int i = 1; i <= 100; ++i) {
      if (queue.Push(i)) pushed.fetch_add(1);
    }
  });
  for (int i = 0; i <= 100; ++i) {
    // The items popped and those that fit in: no more can have been pushed.
    EXPECT_LE(pushed.load(), i + 1);
    EXPECT_EQ(queue.Pop(), i);
  }
  pusher.join();
  EXPECT_EQ(pushed.load(), 100);
}

TEST(BoundedQueue, LetsPushersOnOnceHalfOfALongQueueIsGone) {
  BoundedQueue<int> queue(64);
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(queue.Push(i));
  std::atomic<int> pushed{0};
  auto push = [&] {
    for (int i = 0; i < 100; ++i) {
      if (queue.Push(i)) pushed.fetch_add(1);
    }
  };
  std::thread one(push);
  std::thread other(push);
  for (int i = 0; i < 31; ++i) EXPECT_EQ(queue.Pop(), i);
  EXPECT_EQ(pushed.load(), 0);
  for (int i = 31; i < 64 + 200; ++i) EXPECT_NE(queue.Pop(), std::nullopt);
  one.join();
  other.join();
  EXPECT_EQ(pushed.load(), 200);
}

TEST(BoundedQueue, StopWakesAWaitingPusher) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.Push(1));
  bool pushed = true;
  std::thread pusher([&] { pushed = queue.Push(2); });
  queue.Stop();
  pusher.join();
  EXPECT_FALSE(pushed);
}

TEST(BoundedQueue, StopWakesAWaitingPopper) {
  BoundedQueue<int> queue(1);
  std::optional<int> popped = 7;
  std::thread popper([&] { popped = queue.Pop(); });
  queue.Stop();
  popper.join();
  EXPECT_EQ(popped, std::nullopt);
}

TEST(BoundedQueue, GivesNothingMoreOnceItIsStopped) {
  BoundedQueue<int> queue(4);
  ASSERT_TRUE(queue.Push(1));
  queue.Stop();
  EXPECT_EQ(queue.Pop(), std::nullopt);
  EXPECT_FALSE(queue.Push(2));
}

TEST(BoundedQueue, CarriesAFlushLikeAnyItem) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  queue.Push(std::make_unique<int>(1));
  queue.Push(nullptr);
  EXPECT_EQ(**queue.Pop(), 1);
  const auto flush = queue.Pop();
  ASSERT_TRUE(flush.has_value());
  EXPECT_EQ(*flush, nullptr);
}

}  // namespace
}  // namespace millrace::encode
