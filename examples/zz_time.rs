use pixmill::imaging::{Limits, operation, process};
use std::time::Instant;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10.0
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let src = std::fs::read(&a[1]).unwrap();
    let lim = Limits::default();
    let ops = operation::parse(&a[2], &lim).unwrap();
    let n: usize = a[3].parse().unwrap();
    let mut best = f64::MAX;
    let c0 = cpu();
    let mut sizes = vec![0; ops.len()];
    for i in 0..n {
        let t = Instant::now();
        let r = process(&src, &ops, &lim, &|| false, &mut |k, o| {
            sizes[k] = o.data.len();
            if i == 0 && a.len() > 4 {
                std::fs::write(format!("{}{k}.{}", a[4], o.format.extension()), &o.data)?;
            }
            Ok(())
        });
        if let Err(e) = r {
            println!("{e}");
            return;
        }
        best = best.min(t.elapsed().as_secs_f64() * 1e3);
    }
    let rss = std::fs::read_to_string("/proc/self/status").unwrap();
    let hwm = rss.lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    println!("best {best:.1} ms, cpu {:.1} ms each, sizes {sizes:?}, {hwm}", (cpu() - c0) / n as f64);
}
