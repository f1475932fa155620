// Callers that call again and again, as benches/load.rs has them; one line of JSON for each number of callers.
const WARM_UP = 300

// `call` gets the number of its caller and fails when it is not answered.
export async function bench (call, callers, seconds) {
  for (const number of callers) console.log(JSON.stringify(await measure(call, number, seconds * 1000)))
}

async function measure (call, callers, time) {
  const begin = performance.now() + WARM_UP
  const end = begin + time
  const latencies = []
  let errors = 0
  const caller = async number => {
    for (let asked = performance.now(); asked < end; asked = performance.now()) {
      const answered = await call(number).then(() => true, () => false)
      if (asked < begin) continue
      if (answered) latencies.push(performance.now() - asked)
      else errors++
    }
  }
  await Promise.all(Array.from({ length: callers }, (_, number) => caller(number)))
  const rate = latencies.length / (performance.now() - begin) * 1000
  latencies.sort((a, b) => a - b)
  const at = share => Math.round((latencies[Math.floor(latencies.length * share)] ?? 0) * 1000)
  return { callers, rate, p50: at(0.5), p99: at(0.99), errors }
}
