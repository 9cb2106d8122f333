// Inbox: messages from any thread to an event loop.
//
// Messages are Sendable values. The handler runs on the loop's thread and can use the state that belongs to it. A queue
// of closures would also work, but such closures could not capture the role's state; with typed messages the compiler
// checks what crosses the threads. An inbox of closures is `loop.inbox { (work: @Sendable () -> Void) in work() }`.

import CLinux
import Glibc
import Synchronization

/// A thread-safe queue whose messages arrive in order on a loop.
package final class Inbox<Message: Sendable>: Sendable {
  private let waiting = Mutex<[Message]>([])
  private let eventDescriptor: Int32

  fileprivate init() throws(PlatformError) {
    eventDescriptor = ttrl_eventfd()
    guard eventDescriptor >= 0 else { throw .system(call: "eventfd", code: -eventDescriptor) }
  }

  deinit { Glibc.close(eventDescriptor) }

  /// Adds a message and wakes the loop. Can be called from any thread; it never blocks for long.
  package func post(_ message: Message) {
    let isFirst = waiting.withLock { queue in
      precondition(queue.count < PlatformLimits.inboxMessages, "an inbox overflowed: its loop has stopped reading it")
      queue.append(message)
      return queue.count == 1
    }
    // One wake-up is enough for a batch: the loop takes all messages that are there.
    if isFirst { ttrl_eventfd_raise(eventDescriptor) }
  }

  fileprivate func open(on loop: EventLoop, _ handler: @escaping (Message) -> Void) throws(PlatformError) {
    // The loop holds the inbox, because a watched descriptor must not be closed.
    try loop.watch(eventDescriptor, for: .readable) { _ in
      // Cleared before the messages are taken: a message that is posted in between wakes the loop again.
      ttrl_eventfd_clear(self.eventDescriptor)
      let messages = self.waiting.withLock { queue in
        defer { queue = [] }
        return queue
      }
      for message in messages { handler(message) }
    }
  }

  /// Stops delivery; later messages are dropped. Call this on the loop's thread.
  package func close(on loop: EventLoop) { loop.unwatch(eventDescriptor) }
}

extension EventLoop {
  /// A queue whose messages are handled on this loop.
  /// - Throws: `.system` if the process has no descriptor left.
  package func inbox<Message: Sendable>(
    _ handler: @escaping (Message) -> Void
  ) throws(PlatformError) -> Inbox<Message> {
    let inbox = try Inbox<Message>()
    try inbox.open(on: self, handler)
    return inbox
  }
}

/// Runs `body` on a new detached thread. Results come back through an `Inbox`.
/// - Parameters:
///   - name: at most 15 bytes; `top -H` and debuggers show it.
///   - body: the thread's work.
/// - Throws: `.system` if the limit on threads is reached.
package func startThread(named name: String, _ body: @escaping @Sendable () -> Void) throws(PlatformError) {
  final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
  let start = Unmanaged.passRetained(Start(name: name, body: body))
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  defer { pthread_attr_destroy(&attributes) }
  var thread = pthread_t()
  let code = pthread_create(
    &thread, &attributes,
    { argument in
      guard let argument else { return nil }
      let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
      ttrl_name_thread(start.name)
      start.body()
      return nil
    }, start.toOpaque())
  guard code == 0 else {
    start.release()
    throw .system(call: "pthread_create", code: code)
  }
}

/// A semaphore: a thread waits until another thread signals. Signals are counted, so none is lost while the thread is
/// busy.
package final class Wakeup: @unchecked Sendable {
  // Unchecked: a POSIX semaphore is made to be shared, and its address does not change.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  package init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  package func signal() { sem_post(semaphore) }

  package func wait() {
    while sem_wait(semaphore) != 0 {}  // repeated when a signal interrupts it
  }
}
