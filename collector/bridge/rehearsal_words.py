"""What the rehearsal says to people, in both languages."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from collector.bridge.rehearsal import End, Report, Result, Stage, Verdict
from collector.bridge.rehearsals import Plan


class Words(Struct, frozen=True, kw_only=True):
    """One language."""

    decimal_mark: str
    plan: str
    most: str
    stage: str
    too_much: str
    silent: str
    thin: str
    ask: str
    begins: str
    good: str
    not_good: str
    not_run: str
    head: tuple[str, ...]
    verdicts: Mapping[Verdict, str]
    figures: Mapping[str, str]
    ends: Mapping[End, str]
    capacity: str
    no_capacity: str
    none: str


VI = Words(
    decimal_mark=",",
    plan="Diễn tập {check}: luồng {stream}, mỗi đợt {seconds} giây, mọi nơi bắt đầu cùng lúc, lên đường {trunk} ({trunk_mbit_s} Mbit/s mỗi chiều)",
    most="Không thử quá 80 % đường: nhiều nhất {most} nơi cùng lúc",
    stage="  đợt {share} %: {sites} nơi, {mbit_s} Mbit/s mỗi chiều",
    too_much=" (quá 80 % đường: sẽ không chạy)",
    silent="Không có tin, không tham gia: {names}",
    thin="Đường quá nhỏ, không tham gia: {names}",
    ask="Chưa chạy gì. Phép thử này chiếm băng thông thật: chạy ban đêm, khi đã được đồng ý; thêm --yes để chạy.",
    begins="đợt {share} %: {sites} nơi bắt đầu",
    good="đợt {share} %: đạt",
    not_good="đợt {share} %: không đạt ({failed} nơi hỏng hoặc không trả lời, {invalid} nơi không đo được)",
    not_run="đợt {share} %: không chạy ({sites} nơi, {mbit_s} Mbit/s)",
    head=("mã", "nơi", "đợt", "kết quả", "mất gói", "khứ hồi", "rung", "MOS", "vì sao"),
    verdicts={
        "good": "đạt",
        "limited": "tạm được",
        "failed": "không đạt",
        "silent": "không trả lời",
        "invalid": "không đo được",
    },
    figures={
        "loss_ratio": "mất gói",
        "rtt_seconds": "khứ hồi",
        "jitter_seconds": "rung",
        "pdv_seconds": "trễ dao động",
        "mos": "MOS",
    },
    ends={
        "done": "Đã chạy hết các đợt.",
        "trunk": "Dừng: đợt kế tiếp sẽ chiếm quá 80 % đường. Đó chính là giới hạn.",
        "sites": "Dừng: quá 10 % số nơi trong đợt không đạt.",
        "unmeasured": "Dừng: không máy nào trong đợt đo được, nên chưa nói được gì về đường. Xem cột vì sao.",
        "canary": "Dừng: các nơi của đợt đầu bắt đầu mất gói (trung vị trên 0,5 %).",
        "void": "Không có giá trị: máy phản hồi ở điểm cầu tự làm rơi gói. Sửa máy đó rồi thử lại.",
        "phase": "Dừng: giai đoạn hiện tại hoặc sắp tới không cho phép thử tải.",
        "aborted": "Đã dừng theo yêu cầu.",
    },
    capacity="Sức chịu đã chứng minh: {sites} nơi cùng lúc, {mbit_s} Mbit/s mỗi chiều.",
    no_capacity="Chưa chứng minh được sức chịu nào.",
    none="Chưa có lần diễn tập nào từ khi chương trình chạy.",
)
EN = Words(
    decimal_mark=".",
    plan="Rehearsal of {check}: stream {stream}, {seconds} s a stage, all sites at the same instant, on trunk {trunk} ({trunk_mbit_s} Mbit/s each way)",
    most="More than 80 % of the trunk is not tried: at most {most} sites at once",
    stage="  stage {share} %: {sites} sites, {mbit_s} Mbit/s each way",
    too_much=" (more than 80 % of the trunk: will not be run)",
    silent="Not heard, take no part: {names}",
    thin="Their line is too thin, take no part: {names}",
    ask="Nothing was run. This test takes real bandwidth: run it at night, with consent; add --yes to run it.",
    begins="stage {share} %: {sites} sites begin",
    good="stage {share} %: good",
    not_good="stage {share} %: not good ({failed} sites failed or silent, {invalid} not measured)",
    not_run="stage {share} %: not run ({sites} sites, {mbit_s} Mbit/s)",
    head=("code", "site", "stage", "result", "loss", "round trip", "jitter", "MOS", "why"),
    verdicts={
        "good": "good",
        "limited": "limited",
        "failed": "failed",
        "silent": "no answer",
        "invalid": "not measured",
    },
    figures={
        "loss_ratio": "loss",
        "rtt_seconds": "round trip",
        "jitter_seconds": "jitter",
        "pdv_seconds": "delay variation",
        "mos": "MOS",
    },
    ends={
        "done": "Every stage was run.",
        "trunk": "Stopped: the next stage would take more than 80 % of the trunk. That is the limit.",
        "sites": "Stopped: more than 10 % of the stage's sites failed.",
        "unmeasured": "Stopped: no PC of the stage could measure, which says nothing of the line. See the reasons.",
        "canary": "Stopped: the first stage's sites began to lose packets (median above 0.5 %).",
        "void": "Void: the reflector's own machine dropped packets. Mend it and try again.",
        "phase": "Stopped: the phase, now or about to begin, forbids load tests.",
        "aborted": "Stopped as asked.",
    },
    capacity="Capacity proven: {sites} sites at once, {mbit_s} Mbit/s each way.",
    no_capacity="No capacity was proven.",
    none="No rehearsal since the collector was started.",
)
LANGUAGES: Mapping[str, Words] = {"vi": VI, "en": EN}


def plan_lines(plan: Plan, words: Words) -> Iterator[str]:
    """Yield what a rehearsal would load."""
    yield words.plan.format(
        check=plan.check,
        stream=plan.stream,
        seconds=_number(plan.seconds, words),
        trunk=plan.trunk,
        trunk_mbit_s=_number(plan.trunk_mbit_s, words),
    )
    yield words.most.format(most=plan.most_sites)
    for stage in plan.stages:
        too_much = words.too_much if stage.sites > plan.most_sites else ""
        yield _of(words.stage, stage, words) + too_much
    if plan.silent:
        yield words.silent.format(names=", ".join(plan.silent))
    if plan.thin:
        yield words.thin.format(names=", ".join(plan.thin))


def stage_line(stage: Stage, words: Words) -> str:
    """Return how a stage stands."""
    if stage.begins is None:
        return _of(words.not_run, stage, words)
    if stage.good is None:
        return _of(words.begins, stage, words)
    return _of(words.good if stage.good else words.not_good, stage, words)


def report_lines(report: Report, words: Words) -> Iterator[str]:
    """Yield a table with the last result of each site, then the finding."""
    last: dict[str, tuple[Stage, Result]] = {}
    for stage in report.stages:
        last |= {result.site: (stage, result) for result in stage.results}
    rows = [words.head]
    rows += [_row(stage, result, words) for _, (stage, result) in sorted(last.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(words.head))]
    if last:
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join(cells).rstrip()
        yield ""
    for stage in report.stages:
        if stage.begins is None or stage.good is not None:
            yield stage_line(stage, words)
    if report.end:
        yield words.ends[report.end]
    if report.capacity_sites:
        mbit_s = _number(report.capacity_mbit_s, words)
        yield words.capacity.format(sites=report.capacity_sites, mbit_s=mbit_s)
    else:
        yield words.no_capacity


def _row(stage: Stage, result: Result, words: Words) -> tuple[str, ...]:
    figures = result.figures

    def told(name: str, scale: float, unit: str, digits: int) -> str:
        if name not in figures:
            return "-"
        return f"{figures[name] * scale:.{digits}f}{unit}".replace(".", words.decimal_mark)

    return (
        result.site,
        result.name,
        f"{stage.share * 100:g} %",
        words.verdicts[result.verdict],
        told("loss_ratio", 100, " %", 2),
        told("rtt_seconds", 1e3, " ms", 0),
        told("jitter_seconds", 1e3, " ms", 1),
        told("mos", 1, "", 2),
        ", ".join(words.figures.get(why, why) for why in result.why),
    )


def _of(text: str, stage: Stage, words: Words) -> str:
    verdicts = [result.verdict for result in stage.results]
    return text.format(
        share=f"{stage.share * 100:g}",
        sites=stage.sites,
        mbit_s=_number(round(stage.mbit_s, 1), words),
        failed=verdicts.count("failed") + verdicts.count("silent"),
        invalid=verdicts.count("invalid"),
    )


def _number(number: float, words: Words) -> str:
    return f"{number:.10g}".replace(".", words.decimal_mark)
