#include "broker/io/peer_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pointee;
using testing::UnorderedElementsAre;

class PeerBookTest : public testing::Test {
 protected:
  PeerBook book_;
  MonotonicTime now_{};
};

TEST_F(PeerBookTest, KnowsEachInstanceByTheConnectionThatItWasLastHeardOn) {
  book_.Learn("ins_a", "peer1", now_);
  book_.Learn("ins_b", "peer2", now_);
  book_.Learn("ins_a", "peer3", now_);
  EXPECT_THAT(book_.Find("ins_a"), Pointee(std::string("peer3")));
  EXPECT_THAT(book_.Find("ins_b"), Pointee(std::string("peer2")));
  EXPECT_EQ(book_.Find("ins_c"), nullptr);
}

TEST_F(PeerBookTest, SaysWhenThePeerOfAMessageHasGone) {
  book_.Learn("ins_a", "peer1", now_);
  book_.Learn("ins_b", "peer1", now_);
  book_.Learn("ins_c", "peer2", now_);
  EXPECT_THAT(book_.Close("peer1", now_), UnorderedElementsAre("ins_a", "ins_b"));
  EXPECT_FALSE(book_.IsConnected("ins_a"));
  EXPECT_TRUE(book_.IsConnected("ins_c"));
  EXPECT_FALSE(book_.IsConnected("ins_d"));
  EXPECT_THAT(book_.Close("peer9", now_), IsEmpty());
}

TEST_F(PeerBookTest, KeepsAWorkerThatIsBackOnAnotherConnection) {
  book_.Learn("ins_a", "peer1", now_);
  book_.Learn("ins_a", "peer2", now_);
  EXPECT_THAT(book_.Close("peer1", now_), IsEmpty());
  // Nor does what the first had brought lead back to it.
  book_.Learn("ins_a", "peer1", now_);
  EXPECT_THAT(book_.Find("ins_a"), Pointee(std::string("peer2")));
  EXPECT_TRUE(book_.IsConnected("ins_a"));
  EXPECT_THAT(book_.Close("peer2", now_), ElementsAre("ins_a"));
}

TEST_F(PeerBookTest, ForgetsClosedConnectionsAfterAWhile) {
  book_.Learn("ins_a", "peer1", now_);
  book_.Close("peer1", now_);
  now_ += std::chrono::minutes(4);
  book_.Learn("ins_a", "peer1", now_);
  EXPECT_FALSE(book_.IsConnected("ins_a"));
  now_ += std::chrono::minutes(2);
  book_.Learn("ins_a", "peer1", now_);
  EXPECT_TRUE(book_.IsConnected("ins_a"));
}

TEST_F(PeerBookTest, ForgetsInstancesThatHaveLongBeenSilent) {
  book_.Learn("ins_a", "peer1", now_);
  now_ += std::chrono::minutes(31);
  book_.Learn("ins_b", "peer2", now_);
  EXPECT_EQ(book_.Find("ins_a"), nullptr);
}

}  // namespace
}  // namespace millrace::broker
