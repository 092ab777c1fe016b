#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <list>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/unique_fd.h"
#include "tests/chaos/zmtp_stream.h"

namespace millrace::chaos {

// Stands between a program and the broker like a network: accepts connections on one ipc socket and
// forwards each to another, message by message. It can lose, repeat and cut. When one side closes,
// it closes the other, except while a direction is cut: then nobody notices an end or can connect.
// Nobody can connect while the broker is away either. Runs a thread of its own; all public methods
// may be called from any thread.
class LinkProxy {
 public:
  enum Direction { kToBroker, kFromBroker };

  // Chances of harm, per million messages; handshakes pass unharmed.
  struct Faults {
    uint32_t lost = 0;
    uint32_t duplicated = 0;
    uint32_t replayed = 0;  // repeats an earlier message of this direction, from any connection
    bool cut = false;       // all messages and heartbeats are lost
  };

  // `listen_at` and `broker_at` are paths of sockets. Throws std::system_error.
  LinkProxy(std::filesystem::path listen_at, std::filesystem::path broker_at, uint64_t seed);
  ~LinkProxy();
  LinkProxy(const LinkProxy&) = delete;
  LinkProxy& operator=(const LinkProxy&) = delete;

  void Set(Direction direction, const Faults& faults);
  // Breaks all connections, even in the middle of a message. Returns the number broken.
  size_t Reset();

  std::string endpoint() const { return "ipc://" + listen_at_.string(); }
  // Returns the number of messages lost, duplicated or replayed so far.
  uint64_t harmed() const { return harmed_; }

 private:
  struct Side {
    UniqueFd socket;
    ZmtpStream arriving;
    std::string leaving;  // bytes not yet written to this side
    bool ended = false;
  };
  struct Connection {
    std::array<Side, 2> sides;  // indexed by the direction of the bytes that come from it

    bool has_ended() const { return sides[0].ended || sides[1].ended; }
  };
  struct AtomicFaults {
    std::atomic<uint32_t> lost{0};
    std::atomic<uint32_t> duplicated{0};
    std::atomic<uint32_t> replayed{0};
    std::atomic<bool> cut{false};
  };

  void Run();
  bool IsCut() const { return faults_[kToBroker].cut || faults_[kFromBroker].cut; }
  std::vector<pollfd> Polled() const;
  void Accept();
  void Read(Connection& connection, Direction direction);
  void Forward(Connection& connection, Direction direction, ZmtpStream::Unit unit);
  static void Write(Connection& connection, Direction direction);
  bool Drawn(uint32_t per_million);

  const std::filesystem::path listen_at_;
  const std::filesystem::path broker_at_;
  UniqueFd listener_;
  UniqueFd wake_;  // an eventfd
  std::array<AtomicFaults, 2> faults_;
  std::atomic<bool> reset_{false};
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> harmed_{0};
  std::atomic<size_t> connected_{0};

  // Owned by the thread.
  std::mt19937_64 random_;
  std::list<Connection> connections_;
  std::array<std::deque<std::string>, 2> seen_;  // the last messages of each direction

  std::thread thread_;  // last: it uses the others
};

}  // namespace millrace::chaos
