#include "broker/io/sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

#include "core/base/files.h"
#include "core/base/unique_fd.h"
#include "tests/fakes/scripted_peer.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Connections of workers, whose descriptors on the broker's side are the lowest that are free: one
// that is made after another has closed has its descriptor again.
class SocketsTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (dir_.path() / name).string(); }

  // Takes what is there, at most `limit` messages, and adds it to what was taken before.
  void Receive(size_t limit) {
    Arrivals arrivals =
        sockets_.Receive(never_.get(), never_.get(), std::chrono::milliseconds(1), limit);
    for (Received& received : arrivals.messages) messages_.push_back(std::move(received));
    for (std::string& peer : arrivals.closed) closed_.push_back(std::move(peer));
  }

  template <typename Done>
  void ReceiveUntil(Done done, size_t limit) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done() && std::chrono::steady_clock::now() < deadline) Receive(limit);
    ASSERT_TRUE(done());
  }
  void ReceiveMessages(size_t count) {
    ReceiveUntil([&] { return messages_.size() >= count; }, 1);
  }
  // Leaves all messages where they are.
  void ReceiveEnds(size_t count) {
    ReceiveUntil([&] { return closed_.size() >= count; }, 0);
  }

  // The connection that the nth message came by.
  const std::string& Peer(size_t nth) const { return messages_.at(nth).peer; }

  TempDir dir_;
  const UniqueFd never_{eventfd(0, EFD_CLOEXEC)};
  Sockets sockets_{{.client = "ipc://" + Path("client"),
                    .worker = "ipc://" + Path("worker"),
                    .event = "ipc://" + Path("event")},
                   std::chrono::seconds(15)};
  const std::string door_ = "ipc://" + Path("worker");
  std::vector<Received> messages_;
  std::vector<std::string> closed_;
};

// Connects to the socket at `path` without a word, and returns when the other side has closed its
// end again.
void ConnectUnheard(const std::string& path) {
  const UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): as the interface wants it.
  ASSERT_EQ(::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::shutdown(connection.get(), SHUT_WR), 0);
  char byte = 0;
  while (::recv(connection.get(), &byte, 1, 0) > 0) {
  }
}

TEST_F(SocketsTest, TellsWhichConnectionHasClosed) {
  std::optional<ScriptedPeer> first(std::in_place, door_);
  ScriptedPeer second(door_);
  first->Send("beat", json::object());
  ReceiveMessages(1);
  second.Send("beat", json::object());
  ReceiveMessages(2);
  first.reset();
  ReceiveEnds(1);
  EXPECT_THAT(closed_, ElementsAre(Peer(0)));
}

TEST_F(SocketsTest, DoesNotTakeTheEndOfAnUnheardConnectionForThatOfTheNext) {
  ScriptedPeer worker;  // has all descriptors of its own but that of the connection
  ConnectUnheard(Path("worker"));
  worker.Connect(door_);
  worker.Send("register", json::object());
  ReceiveMessages(1);
  worker.Send("beat", json::object());
  ReceiveMessages(2);
  EXPECT_THAT(closed_, IsEmpty());
}

TEST_F(SocketsTest, NoticesAClosedConnectionAlthoughTheOneBeforeHasLateMessages) {
  std::optional<ScriptedPeer> first(std::in_place, door_);
  first->Send("register", json::object());
  ReceiveMessages(1);
  // Enough for some to be left when the next is heard; they are read in turns.
  constexpr size_t kLate = 900;
  for (size_t i = 0; i < kLate; ++i) first->Send("beat", json::object());
  first->SendBeforeClosing();
  first.reset();
  ReceiveEnds(1);
  std::optional<ScriptedPeer> second(std::in_place, door_);
  second->Send("register", json::object());
  ReceiveMessages(1 + kLate + 1);
  const std::string first_peer = Peer(0);
  EXPECT_THAT(closed_, ElementsAre(first_peer));
  second.reset();
  ReceiveEnds(2);
  ASSERT_THAT(closed_, SizeIs(2));
  EXPECT_NE(closed_[1], first_peer);
}

TEST_F(SocketsTest, TellsTheEndOfAConnectionWhoseFirstMessageIsReadLate) {
  std::optional<ScriptedPeer> other(std::in_place, door_);
  other->Send("register", json::object());
  ReceiveMessages(1);
  std::optional<ScriptedPeer> brief(std::in_place, door_);
  brief->Send("register", json::object());
  brief->SendBeforeClosing();
  brief.reset();
  other.reset();
  // That of the brief one was told before.
  ReceiveEnds(1);
  ReceiveMessages(2);
  ReceiveEnds(2);
  EXPECT_THAT(closed_, Contains(Peer(1)));
}

}  // namespace
}  // namespace millrace::broker
