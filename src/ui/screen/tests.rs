//! Tests of what the screen shows.

use super::*;
use crate::ui::testing::Buffer;

const STYLE: Style = Style {
    colour: true,
    unicode: true,
};

fn key(phase: usize) -> Key {
    Key { group: 1, phase }
}

fn screen(display: Display) -> (Screen, Buffer) {
    let err = Buffer::default();
    let streams: (Stream, Stream) = (Box::new(Buffer::default()), Box::new(err.clone()));
    let screen = Screen::new(streams, || (40, 10), display, STYLE);
    (screen, err)
}

/// What a terminal displays after those bytes; interprets only the few sequences used here.
fn visible(bytes: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut at = 0;
    let mut rest = bytes;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => {
                at += 1;
                rows.resize(rows.len().max(at + 1), String::new());
            }
            '\r' => {}
            '\u{1b}' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                match &rest[end..=end] {
                    "A" => at -= 1,
                    "K" => rows[at].clear(),
                    "m" => {}
                    other => panic!("unexpected sequence {other}"),
                }
                rest = &rest[end + 1..];
            }
            c => rows[at].push(c),
        }
    }
    rows.truncate(at + 1);
    rows
}

#[test]
fn what_is_printed_stays_above_what_runs() {
    let (mut screen, err) = screen(Display::Board);
    let now = Instant::now();
    screen.start(key(1), "packages".into(), now, now);
    screen.log(key(1), "Setting up git\u{1b}[0m");
    screen.start(key(2), "clone".into(), now, now);
    screen.print("a message\n");
    let rows = visible(&err.text());
    assert_eq!(rows[0], "a message");
    assert!(rows[1].ends_with("packages  0.0s"), "{rows:?}");
    assert_eq!(rows[2], "    Setting up git");
    assert!(rows[3].ends_with("clone  0.0s"), "{rows:?}");

    let took = Some(Duration::from_secs(72));
    screen.finish(key(1), PhaseEnd::Done { took }, now);
    screen.data("data").unwrap();
    screen.finish(key(2), PhaseEnd::Failed, now);
    let rows = visible(&err.text());
    assert_eq!(
        rows,
        ["a message", "✓ packages  1m 12s", "✗ clone  0.0s", ""]
    );
}

#[test]
fn a_suspended_board_is_away_and_messages_are_not() {
    let (mut screen, err) = screen(Display::Board);
    let now = Instant::now();
    screen.start(key(1), "clone".into(), now, now);
    screen.suspend();
    screen.tick(now);
    screen.print("question\n");
    assert_eq!(visible(&err.text()), ["question", ""]);
    screen.resume();
    assert_eq!(visible(&err.text()).len(), 3);
    screen.forget(|key| key.group == 1);
    assert_eq!(visible(&err.text()), ["question", ""]);
}

#[test]
fn a_long_label_gives_way_to_its_end() {
    let (mut screen, err) = screen(Display::Board);
    let now = Instant::now();
    screen.start(key(1), "RUN ".repeat(30), now, now);
    screen.finish(key(1), PhaseEnd::Cached, now);
    let rows = visible(&err.text());
    assert_eq!(rows[0], "✓ RUN RUN RUN RUN RUN RUN RUN …  cached");
}

#[test]
fn plain_lines_announce_a_wait_once_it_is_long_if_they_were_asked_for() {
    let (mut screen, err) = screen(Display::Lines { waits: true });
    let now = Instant::now();
    let later = now + Duration::from_millis(500);
    screen.start(key(1), "fetching `origin/main`".into(), now, later);
    screen.stage(key(1), Stage::new("Counting objects").at(1, 2), now);
    assert_eq!(err.text(), "");
    screen.tick(later);
    screen.tick(later + TICK);
    assert_eq!(err.text(), "fetching `origin/main`…\n");
}

#[test]
fn other_plain_lines_say_only_how_far_a_wait_is() {
    let (mut screen, err) = screen(Display::Lines { waits: false });
    let now = Instant::now();
    let later = now + Duration::from_millis(500);
    screen.start(key(1), "listing images".into(), now, later);
    screen.start(key(2), "fetching `origin/main`".into(), now, later);
    screen.tick(later + TICK);
    screen.stage(
        key(2),
        Stage::new("Counting objects").at(1, 2),
        later + TICK,
    );
    assert_eq!(
        err.text(),
        "[fetching `origin/main`] Counting objects: 50% (1/2)\n"
    );
}

#[test]
fn quiet_shows_nothing_but_messages() {
    let (mut screen, err) = screen(Display::Nothing);
    let now = Instant::now();
    screen.start(key(1), "clone".into(), now, now);
    screen.stage(key(1), Stage::new("Counting objects"), now);
    screen.log(key(1), "line");
    screen.print("a warning\n");
    screen.finish(key(1), PhaseEnd::Failed, now);
    assert_eq!(err.text(), "a warning\n");
}

#[test]
fn lines_that_a_narrower_terminal_wraps_take_more_rows() {
    assert_eq!(rows(&[79, 10, 0], 80), 3);
    assert_eq!(rows(&[79, 10, 0], 40), 4);
    assert_eq!(rows(&[79, 10, 0], 20), 6);
    assert_eq!(rows(&[5], 0), 5);
}
