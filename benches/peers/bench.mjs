// Calls again and again by a number of callers at once; one JSON line for each number.
export async function bench (call, seconds = Number(process.env.SECONDS || 3), numbers = [1, 16, 64, 256]) {
  for (let i = 0; i < 200; i++) await call(i)
  for (const callers of numbers) {
    const times = []
    let done = 0
    let errors = 0
    const start = performance.now()
    const end = start + seconds * 1000
    const caller = async () => {
      while (performance.now() < end) {
        const asked = performance.now()
        try { await call(done) } catch { errors++ }
        times.push(performance.now() - asked)
        done++
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
    const rate = (done - errors) / ((performance.now() - start) / 1000)
    times.sort((a, b) => a - b)
    const at = share => Math.round(times[Math.floor(times.length * share)] * 1000)
    console.log(JSON.stringify({ callers, rate, p50: at(0.5), p99: at(0.99), errors }))
  }
}
