//! Pairs of questions, and the check that refuses them.

use crate::{Check, Question, Unsuitable, Wording, compare};

fn assert_compares(left: &str, right: &str, expected: Result<Wording, Check>) {
    let read = |text| Question::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let (left_read, right_read) = (read(left), read(right));
    assert_eq!(
        compare(&left_read, &right_read),
        expected,
        "{left} | {right}\n{left_read:#?} {right_read:#?}"
    );
    assert_eq!(compare(&right_read, &left_read), expected, "{right} | {left}");
}

#[test]
fn other_numbers_are_refused() {
    for (left, right) in [
        ("How long is the 3 day pass valid?", "How long is the 7 day pass valid?"),
        ("Track the order 48213", "Track the order 48231"),
        ("Is a two-bedroom flat free?", "Is a three-bedroom flat free?"),
        ("Please remind me at 7am", "Please remind me at 7pm"),
        ("Convert 100 USD to GBP", "Convert 100 EUR to GBP"),
        ("Are you open on Saturday?", "Are you open on Sunday?"),
        ("What is the fee in May?", "What is the fee in June?"),
        ("Is it -5 degrees outside?", "Is it 5 degrees outside?"),
        ("How do I sort a list in C#?", "How do I sort a list in C?"),
        ("How big is a 10GB plan?", "How big is a 10MB plan?"),
        ("三天内可以退货吗？", "七天内可以退货吗？"),
        ("星期三门诊开放吗？", "星期五门诊开放吗？"),
        ("贷款二十年每月还多少？", "贷款三十年每月还多少？"),
        ("第3章的作业怎么交？", "第5章的作业怎么交？"),
        ("100元的套餐有哪些？", "100美元的套餐有哪些？"),
    ] {
        assert_compares(left, right, Err(Check::Numbers));
    }
}

#[test]
fn equal_numbers_in_another_form_pass() {
    for (left, right) in [
        ("Is a 2-bedroom flat free?", "Is a two bedroom flat free?"),
        ("Is there a fee above 1,000 units?", "Is there a fee above 1000 units?"),
        ("Is the shop open on Mondays?", "Is the shop open on Monday?"),
        ("Which one is the cheapest plan?", "Which is the cheapest plan?"),
        ("一百美元的套餐有哪些？", "100美金的套餐有哪些？"),
        ("十四天可以退货吗？", "14天可以退货吗？"),
        ("一个快递怎么寄？", "快递怎么寄？"),
    ] {
        assert_compares(left, right, Ok(Wording::Same));
    }
}

#[test]
fn opposites_are_refused() {
    for (left, right) in [
        ("Cancel my subscription now please", "Don't cancel my subscription please"),
        ("How do I enable dark mode?", "How do I disable dark mode?"),
        ("Is the deposit refundable?", "Is the deposit non-refundable?"),
        ("Is it safe with alcohol?", "Is it unsafe with alcohol?"),
        ("How do I turn on the heating?", "How do I turn off the heating?"),
        ("How do I mute a channel?", "How do I unmute a channel?"),
        ("Which items can be recycled?", "Which items can't be recycled?"),
        ("How do I get it with a visa?", "How do I get it without a visa?"),
        ("怎么开启消息通知？", "怎么关闭消息通知？"),
        ("哪些商品可以使用优惠券？", "哪些商品不可以使用优惠券？"),
        ("怎样导入联系人？", "怎样导出联系人？"),
        ("我收到货了怎么确认？", "我没收到货怎么确认？"),
    ] {
        let Ok(left_read) = Question::parse(left) else { continue };
        let right_read = Question::parse(right).expect("a question");
        assert_eq!(compare(&left_read, &right_read), Err(Check::Polarity), "{left} | {right}");
    }
}

#[test]
fn equal_polarity_in_other_words_passes() {
    for (left, right) in [
        ("I can't open the app", "I cannot open the app"),
        ("Why won't my laptop connect?", "Why doesn't my laptop connect?"),
        ("能不能开具发票？", "可以开具发票吗？"),
        ("有没有停车位？", "有停车位吗？"),
        ("这个不错的方案怎么样？", "这个不错的方案怎样？"),
    ] {
        assert_compares(left, right, Ok(Wording::Same));
    }
}

#[test]
fn other_names_are_refused() {
    for (left, right) in [
        ("Who is the CEO of Microsoft?", "Who is the CEO of Apple?"),
        ("Does it run on Linux?", "Does it run on macOS?"),
        ("How do I set --max-cost here?", "How do I set --max-heads here?"),
        ("Why does a@example.com bounce?", "Why does b@example.com bounce?"),
        ("What is the capital of Australia?", "What is the capital of Austria?"),
        ("iPhone能用这个充电器吗？", "iPad能用这个充电器吗？"),
    ] {
        assert_compares(left, right, Err(Check::Names));
    }
}

#[test]
fn another_direction_is_refused() {
    for (left, right) in [
        ("How do I convert a Word document to PDF?", "How do I convert a PDF to a Word document?"),
        ("Move it from savings to checking", "Move it from checking to savings"),
        ("Does Alice report to Bob here?", "Does Bob report to Alice here?"),
        ("Is it open from 9 to 5?", "Is it open from 5 to 9?"),
        ("Convert 100 USD to GBP", "Convert 100 GBP to USD"),
        ("从北京到上海的机票多少钱？", "从上海到北京的机票多少钱？"),
        ("怎么把人民币兑换成日元？", "怎么把日元兑换成人民币？"),
        ("怎么把Word转换成PDF？", "怎么把PDF转换成Word？"),
    ] {
        assert_compares(left, right, Err(Check::Order));
    }
}

#[test]
fn part_put_first_is_the_same_question() {
    for (left, right) in [
        ("Can I pay by card at the pharmacy?", "At the pharmacy, can I pay by card?"),
        ("How do I set up voicemail on my phone?", "On my phone, how do I set up voicemail?"),
        ("What is the Wi-Fi password for guests?", "What's the guest Wi-Fi password?"),
        ("Windows上Python怎么安装？", "怎么在Windows上安装Python？"),
    ] {
        assert_compares(left, right, Ok(Wording::Same));
    }
}

#[test]
fn another_kind_of_answer_is_refused() {
    for (left, right) in [
        ("How long is the flight to Rome?", "How much is the flight to Rome?"),
        ("Where do I renew my pass?", "When do I renew my pass?"),
        ("Why is my parcel late?", "How late is my parcel?"),
        ("食堂几点开饭？", "食堂在哪里开饭？"),
        ("停车怎么收费？", "停车为什么收费？"),
    ] {
        assert_compares(left, right, Err(Check::Focus));
    }
}

#[test]
fn forms_synonyms_and_typing_errors_are_the_same_words() {
    for (left, right) in [
        ("How do I read my electricity meter?", "hi, how can i read my electricty meters please"),
        ("What does delivery cost?", "What is the shipping fee?"),
        ("When does the term start?", "When does the term begin?"),
        ("How do I renew my library books?", "How do I renew a library book?"),
        ("怎么查询订单状态？", "请问如何查看订单状态"),
        ("怎么开具电子发票？", "电子发票如何开具呢"),
    ] {
        assert_compares(left, right, Ok(Wording::Same));
    }
}

#[test]
fn look_alikes_are_other_words() {
    assert_compares("Where is my contract?", "Where is my contact?", Ok(Wording::Substituted));
    assert_compares("Which country is it in?", "Which county is it in?", Ok(Wording::Substituted));
}

#[test]
fn wording_counts_the_words_of_both_sides() {
    assert_compares(
        "Does the hotel have a pool?",
        "Does the hotel have a gym?",
        Ok(Wording::Substituted),
    );
    assert_compares("酒店有游泳池吗？", "酒店有健身房吗？", Ok(Wording::Substituted));
    assert_compares(
        "What is my account balance?",
        "What is my joint account balance?",
        Ok(Wording::Extended),
    );
    assert_compares(
        "How do I change my delivery address?",
        "How do I tell you where the order is being sent?",
        Ok(Wording::Reworded),
    );
}

#[test]
fn unsuitable_questions_are_named() {
    let long = "word ".repeat(300);
    for (text, expected) in [
        (long.as_str(), Unsuitable::TooLong),
        ("Thanks", Unsuitable::TooShort),
        ("", Unsuitable::TooShort),
        ("why ```let x = 1;``` fails", Unsuitable::Code),
        ("what is in\n| a | b |\n| 1 | 2 |", Unsuitable::Code),
        ("What is the weather today?", Unsuitable::MovingTime),
        ("今天天气怎么样？", Unsuitable::MovingTime),
    ] {
        assert_eq!(Question::parse(text).map(|_| ()), Err(expected), "{text}");
    }
    // An account, not a time.
    assert!(Question::parse("How do I close my current account?").is_ok());
}

#[test]
fn hyphen_before_any_script_is_read() {
    for text in [
        "how -你 does",
        "how --你 does",
        "how -- does it",
        "how - does it",
        "how -é does",
        "a -1 -- b c",
    ] {
        assert!(Question::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn words_of_a_normal_form_ignore_case_and_punctuation() {
    let normal = |text| Question::parse(text).expect("a question").normal().to_owned();
    assert_eq!(normal("  HOW do I\tpay? "), normal("how do i pay"));
    assert_eq!(normal("ＷｉＦｉ密码是多少？"), normal("wifi密码是多少"));
    assert_ne!(normal("What is C++ for?"), normal("What is C for?"));
    assert_ne!(normal("What is C# for?"), normal("What is C for?"));
}
