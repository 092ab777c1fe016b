#include "tests/chaos/link_proxy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>
#include <zmq.hpp>

#include "tests/chaos/zmtp_stream.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::chaos {
namespace {

constexpr int kPatienceMs = 5000;

// A DEALER and a ROUTER with a proxy between them.
class LinkProxyTest : public testing::Test {
 protected:
  LinkProxyTest() : proxy_(temp_.path() / "near", temp_.path() / "far", 1) {
    router_.bind("ipc://" + (temp_.path() / "far").string());
    for (zmq::socket_t* socket : {&dealer_, &router_}) {
      socket->set(zmq::sockopt::linger, 0);
      socket->set(zmq::sockopt::rcvtimeo, kPatienceMs);
    }
    dealer_.set(zmq::sockopt::reconnect_ivl, 10);
    dealer_.connect(proxy_.endpoint());
  }

  // Sends two frames: the number of the message, and the text.
  void Send(const std::string& text) {
    dealer_.send(zmq::str_buffer("two"), zmq::send_flags::sndmore);
    dealer_.send(zmq::buffer(text));
  }

  // Returns the text of the next message, after checking that it is whole; nullopt: none came in
  // time.
  std::optional<std::string> Receive() {
    zmq::message_t identity;
    zmq::message_t count;
    zmq::message_t text;
    if (!router_.recv(identity) || !router_.recv(count) || !router_.recv(text)) return std::nullopt;
    EXPECT_EQ(count.to_string(), "two");
    EXPECT_FALSE(text.more());
    return text.to_string();
  }

  TempDir temp_;
  zmq::context_t context_;
  zmq::socket_t router_{context_, zmq::socket_type::router};
  zmq::socket_t dealer_{context_, zmq::socket_type::dealer};
  LinkProxy proxy_;
};

TEST_F(LinkProxyTest, ForwardsMessagesOfAnySizeUnchanged) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{255}, size_t{256}, size_t{3} << 20}) {
    const std::string text(size, 'x');
    Send(text);
    EXPECT_EQ(Receive(), text);
  }
  EXPECT_EQ(proxy_.harmed(), 0u);
}

TEST_F(LinkProxyTest, ACutLosesWhatIsSentMeanwhileAndNothingAfterwards) {
  Send("before");
  EXPECT_EQ(Receive(), "before");
  proxy_.Set(LinkProxy::kToBroker, {.cut = true});
  Send("meanwhile");
  while (proxy_.harmed() == 0) std::this_thread::yield();
  proxy_.Set(LinkProxy::kToBroker, {});
  Send("after");
  EXPECT_EQ(Receive(), "after");
}

TEST_F(LinkProxyTest, DuplicatesWholeMessages) {
  proxy_.Set(LinkProxy::kToBroker, {.duplicated = 1'000'000});
  Send("once");
  EXPECT_EQ(Receive(), "once");
  EXPECT_EQ(Receive(), "once");
}

TEST_F(LinkProxyTest, ReplaysEarlierMessages) {
  Send("first");
  EXPECT_EQ(Receive(), "first");
  proxy_.Set(LinkProxy::kToBroker, {.replayed = 1'000'000});
  Send("second");
  EXPECT_EQ(Receive(), "second");
  EXPECT_EQ(Receive(), "first");
}

TEST_F(LinkProxyTest, AResetBreaksTheConnectionAndANewOneWorks) {
  Send("before");
  EXPECT_EQ(Receive(), "before");
  proxy_.Reset();
  // Messages in flight may be lost when the connection breaks.
  router_.set(zmq::sockopt::rcvtimeo, 50);
  std::optional<std::string> received;
  for (int tries = 0; tries < 200 && !received; ++tries) {
    Send("after");
    received = Receive();
  }
  EXPECT_EQ(received, "after");
}

TEST(ZmtpStreamTest, TakesAStreamApartHoweverItIsCut) {
  const std::string greeting(64, 'g');
  const std::string command = std::string("\x04\x06", 2) + "\x05READY";
  const std::string message =
      std::string("\x01\x02", 2) + "ab" + std::string("\x02\0\0\0\0\0\0\0\x03", 9) + "xyz";
  const std::string all = greeting + command + message + message;
  for (size_t piece = 1; piece <= all.size(); ++piece) {
    ZmtpStream stream;
    std::vector<ZmtpStream::Unit> units;
    for (size_t at = 0; at < all.size(); at += piece) {
      stream.Feed(all.substr(at, piece));
      while (auto unit = stream.Next()) units.push_back(std::move(*unit));
    }
    ASSERT_GE(units.size(), 4u) << piece;
    const auto messages = units.end() - 2;
    EXPECT_EQ((messages - 1)->bytes, command);
    EXPECT_EQ(messages[0].bytes, message);
    EXPECT_EQ(messages[1].bytes, message);
    std::string rejoined;
    for (const ZmtpStream::Unit& unit : units) rejoined += unit.bytes;
    EXPECT_EQ(rejoined, all);
    EXPECT_EQ(std::ranges::count_if(units, &ZmtpStream::Unit::is_message), 2);
  }
}

}  // namespace
}  // namespace millrace::chaos
