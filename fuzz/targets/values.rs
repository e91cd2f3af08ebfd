//! Values to a block and back, and into an argument vector: no value is changed, and none makes another argument, an
//! option or another program. A byte that is never UTF-8 (FF) separates the three values.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mailsudo::authorize::{Choice, Invocation, choose};
use mailsudo::config::{Command, Part};
use mailsudo::protocol::{CommandName, MAX_DECODED, Request, is_unsafe};
use mailsudo_fuzz::{GATEWAY, key, name, unsigned};

static COMMAND: LazyLock<Command> = LazyLock::new(|| {
    let name = CommandName::try_from("all").expect("a name");
    GATEWAY.command(&name).expect("a command").expect("a command")
});

fuzz_target!(|bytes: &[u8]| {
    let mut values = bytes.split(|&byte| byte == 0xff).map(String::from_utf8_lossy);
    let arguments: Vec<_> =
        ["one", "level", "free"].iter().filter_map(|known| Some((name(known), values.next()?.into_owned()))).collect();
    let is_sound = |value: &String| value.len() <= MAX_DECODED && !value.chars().any(is_unsafe);
    let signed = unsigned(arguments.clone()).sign(&key());
    assert_eq!(signed.is_ok(), arguments.iter().all(|(_, value)| is_sound(value)), "what is refused is not signed");
    let Ok(block) = signed else {
        return;
    };
    let request = Request::read(&[&block]).expect("what is signed is read");
    assert!(request.is_signed_by(&key()));
    assert_eq!(request.arguments().expect("arguments"), arguments);
    fill(&arguments);
});

fn fill(arguments: &mailsudo::protocol::Arguments) {
    let command = &*COMMAND;
    let roles = ["web".to_owned()];
    let Ok(Choice { values, .. }) = choose(command, &roles, arguments) else {
        return;
    };
    let Ok(invocation) = Invocation::new(command, &values) else {
        return;
    };
    let argv = invocation.argv();
    assert_eq!((argv.len(), argv[0].as_str()), (command.argv.len(), "/bin/true"));
    for (argument, template) in argv.iter().zip(&command.argv) {
        let mut rest = argument.as_str();
        for part in template.parts() {
            let expected = match part {
                Part::Literal(text) => text,
                Part::Placeholder(name) => values[name].as_str(),
            };
            rest = rest.strip_prefix(expected).expect("the template with its values, in order");
        }
        assert!(rest.is_empty() && !argument.contains('\0'));
        assert!(template.opening().is_none() || !argument.starts_with('-'), "a value is no option");
    }
    let time_limited = invocation.time_limited(&GATEWAY.settings().execution);
    assert_eq!(&time_limited[3..], argv, "timeout(1), its two arguments, and nothing more");
}
