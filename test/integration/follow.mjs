// Follows jobs with the platform's own EventSource: `node follow.mjs ORIGIN EVENTS_URL...` prints what it was told, a
// line of JSON for each event, and ends when every job has.
const [origin, ...urls] = process.argv.slice(2);
let open = urls.length;
for (const url of urls) {
	const source = new EventSource(origin + url);
	for (const kind of ["state", "position", "result"]) {
		source.addEventListener(kind, (event) => {
			const data = JSON.parse(event.data);
			console.log(JSON.stringify({ url, kind, id: event.lastEventId, data }));
			if (["queued", "running"].includes(data.state)) return;
			source.close();
			if (--open === 0) process.exit(0);
		});
	}
}
