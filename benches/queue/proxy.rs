//! A TCP proxy that is far away: what goes through arrives later, and nothing is held up behind what is on its way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Before the server at `port` of the loopback, `each_way` from it; the port to connect to.
///
/// Threads rather than tasks: an async runtime's clock counts whole milliseconds.
pub(crate) fn before(port: u16, each_way: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let own_port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            for (from, to) in [(&client, &server), (&server, &client)] {
                from.set_nodelay(true).expect("it is a socket");
                pass(from.try_clone().expect("a descriptor is free"), to.try_clone().expect("one more, too"), each_way);
            }
        }
    });
    own_port
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sent, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if sent.send((Instant::now() + delay, bytes[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The end of one direction is the connection's end.
        let _ = to.shutdown(Shutdown::Both);
    });
}
